"""Save, restore on another mesh, and what is said when a checkpoint does not fit."""

import dataclasses

import jax
import numpy as np
import pytest

from diptych.errors import UserError
from diptych.pretrain.checkpoint import Checkpoints, restore_params
from diptych.pretrain.learner import make_learner
from diptych.pretrain.optimizer import make_optimizer
from diptych.pretrain.spec import CheckpointSpec
from diptych.pretrain.state import initial_state, state_layouts, state_shapes
from diptych.sharding.layouts import named_leaves, places
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec


def parts(recipe, **sizes):
    mesh = make_mesh(MeshSpec(**sizes))
    learner, optimizer = make_learner(recipe, mesh), make_optimizer(recipe.optimizer, steps=recipe.train.steps)
    return mesh, learner, optimizer


def fresh(recipe, **sizes):
    mesh, learner, optimizer = parts(recipe, **sizes)
    with jax.set_mesh(mesh):
        return jax.jit(lambda: initial_state(learner, optimizer), out_shardings=places(state_layouts(learner, optimizer), mesh))()


def restore(workdir, recipe, **sizes):
    mesh, learner, optimizer = parts(recipe, **sizes)
    shapes, layouts = state_shapes(learner, optimizer), state_layouts(learner, optimizer)
    with jax.set_mesh(mesh), Checkpoints(workdir, CheckpointSpec()) as checkpoints:
        state = checkpoints.restore(checkpoints.latest, shapes=shapes, layouts=layouts, mesh=mesh)
        return state, checkpoints.data(checkpoints.latest)


@pytest.fixture(scope="module")
def saved(tiny_recipe, tmp_path_factory):
    workdir, state = tmp_path_factory.mktemp("run"), fresh(tiny_recipe(), fsdp=4, tensor=2)
    with Checkpoints(workdir, CheckpointSpec(keep_last=2, keep_every=4)) as checkpoints:
        for step in (2, 4, 6, 8, 10):
            checkpoints.save(step, state, data={"samples": step * 16}, metadata={"hash": "abc"})
            checkpoints.wait()
    return workdir, state


def test_state_and_data_come_back_on_another_mesh(tiny_recipe, saved):
    workdir, state = saved
    back, data = restore(workdir, tiny_recipe(), replica=2, fsdp=2)
    assert data == {"samples": 160}
    before, after = named_leaves(state), named_leaves(back)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) and before[name].dtype == after[name].dtype for name in before)


def test_retention_keeps_the_last_and_every_nth(saved):
    with Checkpoints(saved[0], CheckpointSpec(keep_last=2, keep_every=4)) as checkpoints:
        assert checkpoints.steps == [4, 8, 10]


def test_a_leaf_that_does_not_fit_is_named(tiny_recipe, saved):
    recipe = tiny_recipe()
    wider = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, embed_dim=16))
    with pytest.raises(UserError, match=r"checkpoint 10, params: leaf model\.image\.projection is float32\(32, 32\).*float32\(32, 16\)"):
        restore(saved[0], wider, fsdp=2)
    with pytest.raises(UserError, match=r"leaf model\.decoder\..* is not in the checkpoint"):
        restore(saved[0], tiny_recipe("coca"), fsdp=2)


def test_a_missing_step_is_answered_with_those_there_are(tiny_recipe, saved):
    _, learner, _ = parts(tiny_recipe(), fsdp=2)
    with pytest.raises(UserError, match=r"--step = 5 is not among the checkpoints.*4, 8, 10"):
        restore_params(saved[0], learner, step=5)
