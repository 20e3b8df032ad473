import dataclasses

import jax
import numpy as np
import pytest

from diptych.errors import UserError
from diptych.pretrain.encode import make_encoders
from diptych.pretrain.evaluators.loss import Loss
from diptych.pretrain.learner import make_learner
from diptych.sharding.layouts import places
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec


def evaluated_and_dense(recipe, mesh, *, batch, task):
    """What the evaluator finds on 19 samples in batches of 8, and the metrics of the dense definition on the two whole batches."""
    task = dataclasses.replace(task, tokenize=lambda texts: batch["text"])
    learner = make_learner(recipe, mesh)
    params = jax.jit(learner.init, out_shardings=places(learner.layouts, mesh))()
    found = Loss(task)(make_encoders(learner, batch_size=4), params)
    dense, whole = jax.jit(learner.dense_loss), jax.tree.map(np.asarray, params)
    parts = [dense(whole, {name: rows[start : start + 8] for name, rows in batch.items()}) for start in (0, 8)]
    return found, [{"loss": float(loss), **{name: float(value) for name, value in metrics.items()}} for loss, metrics in parts]


def test_the_mean_over_whole_batches_of_the_dense_loss(tiny_recipe, random_batch, make_task, mesh):
    batch = random_batch(size=19)
    task = make_task(19, images=batch["image"], negatives=8)
    found, dense = evaluated_and_dense(tiny_recipe(), mesh, batch=batch, task=task)
    assert found == {"loss": pytest.approx(np.mean([part["loss"] for part in dense]), rel=1e-5)}


def test_each_term_of_several(tiny_recipe, random_batch, make_task):
    batch, mesh = random_batch(size=19), make_mesh(MeshSpec(replica=2, fsdp=2, tensor=2))
    task = make_task(19, images=batch["image"], negatives=8)
    with jax.set_mesh(mesh):
        found, dense = evaluated_and_dense(tiny_recipe("coca"), mesh, batch=batch, task=task)
    assert found.keys() == {"loss", "loss/softmax", "loss/captioning"}
    for name, value in found.items():
        assert value == pytest.approx(np.mean([part[name] for part in dense]), rel=1e-5)


def test_unicl_reads_the_labels_of_the_task(tiny_recipe, random_batch, make_task, one_device):
    recipe = tiny_recipe()
    recipe = dataclasses.replace(recipe, objective=dataclasses.replace(recipe.objective, terms={"unicl": 1.0}))
    batch, found = random_batch(size=19), []
    for label in (np.arange(19) % 3, np.full(19, -1)):
        task = make_task(19, images=batch["image"], members={"cls": label}, negatives=8)
        task = dataclasses.replace(task, label_key="cls")
        given = {"recipe": recipe, "mesh": one_device, "batch": batch | {"label": label.astype(np.int32)}, "task": task}
        with jax.set_mesh(one_device):
            loss, dense = evaluated_and_dense(**given)
        assert loss == {"loss": pytest.approx(np.mean([part["loss"] for part in dense]), rel=1e-5)}
        found.append(loss["loss"])
    assert abs(found[0] - found[1]) > 1e-3


def test_fewer_samples_than_negatives(make_task):
    with pytest.raises(UserError, match=r"eval.tasks.t.negatives = 16, and eval.tasks.t.data has 15 samples; accepted is 1 to 15"):
        Loss(make_task(15, negatives=16))
