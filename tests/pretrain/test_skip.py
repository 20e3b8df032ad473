"""A step whose gradient cannot be trusted changes nothing, is counted, and too many of them end the run."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from diptych.errors import UserError
from diptych.pretrain import step as step_module
from diptych.pretrain.check_train import check_train
from diptych.pretrain.learner import make_learner
from diptych.pretrain.objectives.term import TermOutput
from diptych.pretrain.optimizer import make_optimizer
from diptych.pretrain.run_folder import saved_steps
from diptych.pretrain.schedule import learning_rate
from diptych.pretrain.skip import check_skips, judge, no_skips
from diptych.pretrain.spec import SkipSpec
from diptych.pretrain.state import initial_state
from diptych.pretrain.step import make_step
from diptych.pretrain.train import train
from diptych.sharding.layouts import named_leaves
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec


def judged(spec, norms):
    """Which of the norms are taken, and the counts at the end."""
    skips, taken, one = no_skips(), [], jax.jit(lambda skips, norm: judge(spec, skips, norm))
    for norm in norms:
        accepted, skips = one(skips, jnp.float32(norm))
        taken.append(bool(accepted))
    return taken, skips


def test_mean_and_deviation_are_numpys_until_the_window_is_full():
    norms = np.random.default_rng(0).uniform(1, 2, 32)
    _, skips = judged(SkipSpec(outlier=3.0, window=32), [*norms[:16], np.nan, *norms[16:]])
    np.testing.assert_allclose([skips.mean, skips.variance], [norms.mean(), norms.var()], rtol=1e-5)
    assert (int(skips.seen), int(skips.total), int(skips.in_a_row)) == (32, 1, 0)


def test_an_outlier_is_left_out_after_the_window_and_only_then():
    ordinary = list(np.random.default_rng(1).normal(1, 0.1, 40))
    spec = SkipSpec(outlier=6.0, window=16)
    assert judged(spec, [*ordinary[:8], 100.0, *ordinary[8:16]])[0] == [True] * 17
    taken, skips = judged(spec, [*ordinary, 1.5, 2.0, 3.0, *ordinary])
    assert taken == [True] * 41 + [False] * 2 + [True] * 40
    assert (int(skips.total), int(skips.in_a_row)) == (2, 0)
    assert judged(SkipSpec(window=16), [*ordinary, 1e30])[0] == [True] * 41


def test_a_lasting_change_of_level_is_followed():
    norms = np.random.default_rng(2).normal(1, 0.1, 300)
    taken, skips = judged(SkipSpec(outlier=6.0, window=64), [*norms[:150], *(5 * norms[150:])])
    assert not taken[150] and all(taken[170:]) and float(skips.mean) > 4


def test_too_many_in_a_row_are_answered_with_step_and_norm():
    spec, metrics = SkipSpec(max_skips=3), {"grad_norm": jnp.float32(np.nan)}
    check_skips(spec, metrics | {"skipped_in_a_row": jnp.float32(2)}, step=7)
    with pytest.raises(UserError, match=r"train\.skip\.max_skips = 3 steps .* step 7 with a gradient norm of nan"):
        check_skips(spec, metrics | {"skipped_in_a_row": jnp.float32(3)}, step=7)


@pytest.fixture
def stepping(tiny_recipe, monkeypatch):
    """A step whose gradient is that of the parameters' sum, times the first pixel of the batch: `stepping(recipe, factors)`."""

    def run(factors, *, ema_decay=None, freeze=()):
        recipe = tiny_recipe()
        optimizer = dataclasses.replace(recipe.optimizer, warmup_steps=2, schedule="linear", freeze=freeze)
        recipe = dataclasses.replace(recipe, optimizer=optimizer, train=dataclasses.replace(recipe.train, ema_decay=ema_decay))
        learner = make_learner(recipe, make_mesh(MeshSpec(replica=1, fsdp=1, tensor=1)))

        def gradients(learner, params, batch, step):
            return TermOutput(loss=batch, metrics={}), jax.tree.map(lambda w: jnp.full_like(w, batch), params)

        monkeypatch.setattr(step_module, "loss_and_gradients", gradients)
        optimizer = make_optimizer(recipe.optimizer, steps=recipe.train.steps)
        with jax.set_mesh(learner.mesh):
            state, step = jax.jit(lambda: initial_state(learner, optimizer))(), jax.jit(make_step(learner, optimizer))
            states, found = [state], []
            for factor in factors:
                state, metrics = step(state, jnp.float32(factor))
                states.append(state)
                found.append({name: float(value) for name, value in metrics.items()})
        return recipe, states, found

    return run


@pytest.mark.parametrize("bad", [np.inf, np.nan, 1e30])
def test_a_gradient_that_is_not_finite_changes_nothing_but_the_counts(stepping, bad):
    _, (_, before, after, last), found = stepping([1.0, bad, 1.0], ema_decay=0.9)
    for part in ("params", "opt", "ema"):
        jax.tree.map(np.testing.assert_array_equal, getattr(after, part), getattr(before, part))
    assert not all(jax.tree.leaves(jax.tree.map(np.array_equal, after.params, last.params)))
    assert [int(state.step) for state in (before, after, last)] == [1, 2, 3]
    assert [(row["skipped"], row["skipped_in_a_row"]) for row in found] == [(0, 0), (1, 1), (1, 0)]


def test_the_logged_learning_rate_is_that_of_the_update(stepping):
    recipe, states, found = stepping([1.0, np.nan, np.nan, 1.0, 1.0])
    rate = learning_rate(recipe.optimizer, steps=recipe.train.steps)
    expected = [float(rate(jnp.int32(update))) for update in (0, 1, 1, 1, 2)]
    np.testing.assert_allclose([row["learning_rate"] for row in found], expected, rtol=1e-6)
    name = "model.text.norm.bias"  # not decayed: AdamW moves it by the learning rate where the gradient stays the same
    moved = [np.abs(named_leaves(b.params)[name] - named_leaves(a.params)[name]).max() for a, b in itertools.pairwise(states)]
    np.testing.assert_allclose(moved, np.array([1, 0, 0, 1, 1]) * expected, rtol=1e-3)


def test_a_run_that_leaves_out_too_many_steps_ends_without_saving(squares_recipe, tmp_path, monkeypatch):
    def overflowing(learner, params, batch, step):
        gradients = jax.tree.map(lambda w: jnp.where(step < 1, w, jnp.nan), params)
        return TermOutput(loss=optax.tree.norm(gradients), metrics={}), gradients

    monkeypatch.setattr(step_module, "loss_and_gradients", overflowing)
    recipe = dataclasses.replace(
        squares_recipe,
        mesh=MeshSpec(replica=1, fsdp=1, tensor=1),
        train=dataclasses.replace(squares_recipe.train, steps=9, skip=SkipSpec(max_skips=3)),
        eval=dataclasses.replace(squares_recipe.eval, tasks={}),
    )
    with pytest.raises(UserError, match=r"max_skips = 3 steps in a row were left out, the last of them step 4 with a gradient norm of nan"):
        train(recipe, tmp_path)
    assert saved_steps(tmp_path)[-1] == 3


@pytest.mark.parametrize(
    ("skip", "message"),
    [
        (SkipSpec(outlier=0.0), r"train.skip.outlier = 0.0 is out of range"),
        (SkipSpec(window=1), r"train.skip.window = 1 has no deviation; accepted is a number of steps from 2"),
    ],
)
def test_settings_that_mean_nothing_are_refused(tiny_recipe, skip, message):
    recipe = tiny_recipe()
    with pytest.raises(UserError, match=message):
        check_train(dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, skip=skip)))
