"""The average of the parameters: kept by the step, saved beside them, evaluated and exported in their place."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from diptych.errors import UserError
from diptych.pretrain.check_train import check_train
from diptych.pretrain.checkpoint import Checkpoints, restore_params
from diptych.pretrain.ema import decay_at, evaluated
from diptych.pretrain.evaluate import evaluate_run
from diptych.pretrain.export.export import export_run
from diptych.pretrain.learner import make_learner
from diptych.pretrain.optimizer import make_optimizer
from diptych.pretrain.spec import CheckpointSpec, EvalSpec
from diptych.pretrain.state import initial_state, state_layouts, state_shapes
from diptych.pretrain.step import make_step
from diptych.pretrain.train import train
from diptych.sharding.layouts import batch_layout, named_leaves, path_name, places
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec

TEXT = r"model\.text\..*"


def averaging(recipe, *, decay=0.5, freeze=(), params=None):
    return dataclasses.replace(
        recipe,
        optimizer=dataclasses.replace(recipe.optimizer, freeze=freeze),
        train=dataclasses.replace(recipe.train, ema_decay=decay),
        eval=dataclasses.replace(recipe.eval, params=params),
    )


def parts(recipe, **sizes):
    mesh = make_mesh(MeshSpec(**sizes))
    return mesh, make_learner(recipe, mesh), make_optimizer(recipe.optimizer, steps=recipe.train.steps)


def test_the_decay_warms_up():
    for updates, decay in {0: 0.1, 1: 2 / 11, 90: 0.91, 10**6: 0.999}.items():
        assert float(decay_at(0.999, jnp.int32(updates))) == pytest.approx(decay)


@pytest.fixture(scope="module")
def stepped(tiny_recipe, random_batch):
    """States after 0 to 4 steps on a mesh of all axes, the text tower frozen; the third step's gradient is not finite."""
    recipe = averaging(tiny_recipe(), decay=0.15, freeze=(TEXT,))
    mesh, learner, optimizer = parts(recipe, replica=1, fsdp=2, tensor=1)
    where = places(state_layouts(learner, optimizer), mesh)
    with jax.set_mesh(mesh):
        states = [jax.jit(lambda: initial_state(learner, optimizer), out_shardings=where)()]
        step = jax.jit(make_step(learner, optimizer))
        batches = [jax.device_put(random_batch(number), jax.NamedSharding(mesh, batch_layout(mesh))) for number in range(4)]
        for number, batch in enumerate(batches):
            before = states[-1]
            spoilt = jax.tree.map(lambda w: w * jnp.nan, before.params)
            after, metrics = step(before if number != 2 else dataclasses.replace(before, params=spoilt), batch)
            states.append(after if number != 2 else dataclasses.replace(after, params=before.params))
    return recipe, states, metrics


def test_the_average_is_that_of_a_loop_by_hand(stepped):
    _, states, _ = stepped
    named = [named_leaves(state.params) for state in states]
    for name, average in named_leaves(states[-1].ema).items():
        expected = np.asarray(named[0][name], np.float64)
        for decay, after in zip((0.1, 0.15, None, 0.15), named[1:]):
            if decay is not None:  # a step that is left out leaves the average alone too
                expected = decay * expected + (1 - decay) * np.asarray(after[name], np.float64)
        np.testing.assert_allclose(average, expected, rtol=1e-5, atol=1e-7, err_msg=name)
        assert average.dtype == jnp.float32 and average.sharding == named[-1][name].sharding, name


def test_frozen_parameters_stand_still_and_have_no_average_and_no_state(stepped):
    _, states, metrics = stepped
    before, after = (named_leaves(state.params) for state in (states[0], states[-1]))
    still = {name for name in before if np.array_equal(before[name], after[name])}
    assert still == {name for name in before if name.startswith("model.text.")}
    assert still.isdisjoint(named_leaves(states[-1].ema))
    assert not any("model.text." in name for name in named_leaves(states[-1].opt))
    assert np.isfinite(metrics["grad_norm"]) and int(states[-1].skips.total) == 1


def test_the_gradients_norm_is_of_what_is_trained(tiny_recipe, random_batch):
    _, learner, optimizer = parts(averaging(tiny_recipe(), decay=None, freeze=(r"model\..*",)), fsdp=1)
    with jax.set_mesh(learner.mesh):
        state = jax.jit(lambda: initial_state(learner, optimizer))()
        _, metrics = jax.jit(make_step(learner, optimizer))(state, random_batch())
        only = next(name for name in named_leaves(state.params) if name.startswith("objective."))

        def loss(scale):
            params = jax.tree.map_with_path(lambda path, leaf: scale if path_name(path) == only else leaf, state.params)
            return learner.loss(params, random_batch(), jnp.int32(0))[0]

        gradient = jax.jit(jax.grad(loss))(named_leaves(state.params)[only])
        np.testing.assert_allclose(metrics["grad_norm"], abs(gradient), rtol=1e-4)


def test_a_checkpoint_holds_the_average_and_gives_what_is_evaluated(stepped, tmp_path):
    recipe, states, _ = stepped
    with Checkpoints(tmp_path, CheckpointSpec()) as checkpoints:
        checkpoints.save(4, states[-1], data={}, metadata={})
        checkpoints.wait()
    mesh, learner, optimizer = parts(recipe, replica=1, fsdp=1, tensor=2)
    with jax.set_mesh(mesh), Checkpoints(tmp_path, CheckpointSpec()) as checkpoints:
        shapes, layouts = state_shapes(learner, optimizer), state_layouts(learner, optimizer)
        back = checkpoints.restore(4, shapes=shapes, layouts=layouts, mesh=mesh)
        assert jax.tree.structure(back) == jax.tree.structure(states[-1])
        jax.tree.map(np.testing.assert_array_equal, back, states[-1])
        without = parts(averaging(recipe, decay=None, freeze=(TEXT,)), fsdp=1)[1:]
        with pytest.raises(UserError, match=r"train\.ema_decay is none, and checkpoint 4 has an average"):
            checkpoints.restore(4, shapes=state_shapes(*without), layouts=state_layouts(*without), mesh=mesh)
    averages, raw = ({**named_leaves(states[-1].params), **named_leaves(tree)} for tree in (states[-1].ema, states[-1].params))
    for params, expected in ((None, averages), ("ema", averages), ("raw", raw)):
        learner = parts(averaging(recipe, decay=0.15, freeze=(TEXT,), params=params), fsdp=1)[1]
        found = named_leaves(restore_params(tmp_path, learner, step=None)[1])
        assert found.keys() == expected.keys() and all(np.array_equal(found[name], expected[name]) for name in found)


def test_a_checkpoint_without_an_average_is_said_to_be(tiny_recipe, tmp_path):
    plain, wanted = tiny_recipe(), averaging(tiny_recipe())
    mesh, learner, optimizer = parts(plain, fsdp=1)
    with jax.set_mesh(mesh), Checkpoints(tmp_path, CheckpointSpec()) as checkpoints:
        checkpoints.save(2, initial_state(learner, optimizer), data={}, metadata={})
        checkpoints.wait()
        _, learner, optimizer = parts(wanted, fsdp=1)
        with pytest.raises(UserError, match=r"train\.ema_decay is set, and checkpoint 2 has no average"):
            checkpoints.restore(2, shapes=state_shapes(learner, optimizer), layouts=state_layouts(learner, optimizer), mesh=mesh)
    with pytest.raises(UserError, match=r"eval\.params = ema, and checkpoint 2 has no average of the parameters; accepted is raw"):
        restore_params(tmp_path, learner, step=2)


def test_what_is_evaluated_by_default_is_the_average_where_there_is_one(tiny_recipe):
    recipe = tiny_recipe()
    assert [evaluated(averaging(recipe, decay=decay, params=params)) for decay, params in ((None, None), (0.5, None), (0.5, "raw"))] == [
        "raw",
        "ema",
        "raw",
    ]
    for settings, message in (
        ({"decay": 1.0}, r"train.ema_decay = 1.0 is out of range; accepted is a number between 0 and 1, or none"),
        ({"decay": None, "params": "ema"}, r"eval.params = 'ema' needs train.ema_decay, which is none"),
        ({"params": "mean"}, r"eval.params = 'mean' is unknown; accepted is ema or raw"),
    ):
        with pytest.raises(UserError, match=message):
            check_train(averaging(recipe, **settings))


def test_a_run_evaluates_and_exports_the_average(squares_recipe, tmp_path):
    tasks = {"heldout": squares_recipe.eval.tasks["heldout"]}
    recipe = averaging(dataclasses.replace(squares_recipe, mesh=MeshSpec(replica=1, fsdp=1, tensor=1)), decay=0.9)
    recipe = dataclasses.replace(recipe, eval=EvalSpec(batch_size=16, tasks=tasks))
    metrics = train(recipe, tmp_path)
    assert json.loads((tmp_path / "eval" / "2.json").read_text())["params"] == "ema"
    for params in ("ema", "raw"):
        content = json.loads((tmp_path / "recipe.json").read_text())
        content["recipe"]["eval"]["params"] = params
        (tmp_path / "recipe.json").write_text(json.dumps(content))
        export_run(tmp_path, tmp_path / params)
        assert json.loads((tmp_path / params / "config.json").read_text())["origin"]["params"] == params
    assert evaluate_run(tmp_path)["heldout/loss"] != metrics["heldout/loss"], "the raw parameters are evaluated anew"
    assert "their moving average (decay 0.9)" in (tmp_path / "ema" / "README.md").read_text()
    learner = make_learner(averaging(recipe, decay=0.9, params="ema"), make_mesh(recipe.mesh))
    averages, weights = named_leaves(restore_params(tmp_path, learner, step=2)[1]), load_file(tmp_path / "ema" / "model.safetensors")
    assert all(np.array_equal(averages[name], weight) for name, weight in weights.items())
    assert not all(np.array_equal(averages[name], weight) for name, weight in load_file(tmp_path / "raw" / "model.safetensors").items())
