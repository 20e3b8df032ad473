import dataclasses

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from diptych.pretrain.schedule import learning_rate
from diptych.pretrain.spec import OptimizerSpec

SPEC = OptimizerSpec(peak_lr=2.0, warmup_steps=10)


def rates(steps=110, **settings):
    rate = learning_rate(dataclasses.replace(SPEC, **settings), steps=steps)
    return np.array([float(rate(jnp.int32(step))) for step in range(0, 150, 3)])


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("cosine", {0: 0.1, 9: 1.0, 10: 1.0, 60: 0.5, 110: 0.0, 500: 0.0}),
        ("linear", {0: 0.1, 10: 1.0, 35: 0.75, 60: 0.5, 110: 0.0}),
        ("rsqrt", {0: 0.1, 10: 1.0, 40: 0.5, 1000: 0.1}),
        ("constant", {0: 0.1, 10: 1.0, 10**6: 1.0}),
    ],
)
def test_schedules(schedule, expected):
    rate = learning_rate(dataclasses.replace(SPEC, schedule=schedule), steps=110)
    for step, value in expected.items():
        np.testing.assert_allclose(rate(jnp.int32(step)), 2.0 * value, atol=1e-6)


def test_cosine_is_optax_from_the_end_of_the_warm_up():
    theirs = optax.cosine_decay_schedule(2.0, 100, alpha=0.1)
    expected = [float(theirs(max(step - 10, 0))) if step >= 9 else 0.2 * (step + 1) for step in range(0, 150, 3)]
    np.testing.assert_allclose(rates(schedule="cosine", final_fraction=0.1), expected, rtol=1e-6)


def test_linear_is_optax_from_the_end_of_the_warm_up():
    theirs = optax.linear_schedule(2.0, 0.5, 100)
    expected = [float(theirs(max(step - 10, 0))) if step >= 9 else 0.2 * (step + 1) for step in range(0, 150, 3)]
    np.testing.assert_allclose(rates(schedule="linear", final_fraction=0.25), expected, rtol=1e-6)


def test_constant_with_cool_down_is_optax_by_hand():
    theirs = optax.join_schedules([optax.constant_schedule(2.0), optax.linear_schedule(2.0, 0.2, 40)], [70])
    expected = [float(theirs(step)) if step >= 9 else 0.2 * (step + 1) for step in range(0, 150, 3)]
    np.testing.assert_allclose(rates(schedule="constant", cooldown_steps=40, final_fraction=0.1), expected, rtol=1e-6)
    np.testing.assert_allclose(
        rates(schedule="constant", decay_steps=110, cooldown_steps=40, final_fraction=0.1, steps=99), expected, rtol=1e-6
    )


def test_rsqrt_with_cool_down_is_big_visions():
    """big_vision/utils.py, create_learning_rate_schedule: timescale 25, cool-down 30; its warm-up is one step later."""
    step = np.arange(0, 150, 3)
    expected = 2 / np.sqrt(1 + np.maximum(step - 10, 0) / 25) * np.clip((110 - step) / 30, 0, 1) * np.minimum(1, (step + 1) / 10)
    np.testing.assert_allclose(rates(schedule="rsqrt", timescale_steps=25, cooldown_steps=30), expected, rtol=1e-5, atol=1e-7)


def test_a_cool_down_never_rises():
    """From step 90 the rate is below final_fraction of the peak: there is nothing left to cool down."""
    spec = dataclasses.replace(SPEC, schedule="rsqrt", final_fraction=0.5, cooldown_steps=30)
    rate = learning_rate(spec, steps=110)
    found = np.array([float(rate(jnp.int32(step))) for step in range(10, 130)])
    assert (np.diff(found) <= 1e-7).all()
    np.testing.assert_allclose(found[90], 2 / np.sqrt(1 + 90 / 10), rtol=1e-5)
