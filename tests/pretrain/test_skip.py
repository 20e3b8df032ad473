"""A step whose gradient cannot be trusted changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diptych.pretrain.optimizer import make_optimizer
from diptych.pretrain.skip import where_finite
from diptych.pretrain.spec import OptimizerSpec


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, 1e30])
def test_a_gradient_that_is_not_finite_changes_nothing(bad):
    optimizer = where_finite(make_optimizer(OptimizerSpec(peak_lr=0.1, schedule="constant", warmup_steps=0), steps=10))
    params = {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.ones(3)}
    good = jax.tree.map(jnp.ones_like, params)
    _, state = optimizer.update(good, optimizer.init(params), params)
    updates, after = optimizer.update({**good, "kernel": good["kernel"].at[1, 2].set(bad)}, state, params)
    assert all(not np.any(change) for change in jax.tree.leaves(updates))
    jax.tree.map(np.testing.assert_array_equal, after, state)
