"""What is drawn is the recipe's, whatever generator JAX was told to take where nothing is said."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diptych.pretrain.learner import make_learner
from diptych.pretrain.randomness import step_randomness
from diptych.sharding.layouts import named_leaves
from diptych.sharding.mesh import abstract_mesh

SLOTS = jnp.arange(8, dtype=jnp.int32)


def draws(slots):
    """f32[b, 3]: three of each row."""
    keys = step_randomness(3, jnp.int32(5), slots).of_rows("draws")
    return np.asarray(jax.vmap(lambda key: jax.random.uniform(key, (3,)))(keys))


@pytest.fixture
def rbg():
    with jax.default_prng_impl("rbg"):
        yield


def test_rows_are_drawn_alike_in_any_part_of_the_batch(rbg):
    parts = np.concatenate([draws(SLOTS[:4]), draws(SLOTS[4:])])
    np.testing.assert_array_equal(draws(SLOTS), parts)


def test_draws_do_not_depend_on_the_default_generator():
    with jax.default_prng_impl("rbg"):
        other = draws(SLOTS)
    np.testing.assert_array_equal(draws(SLOTS), other)


def test_fresh_parameters_do_not_depend_on_the_default_generator(tiny_recipe):
    learner = make_learner(tiny_recipe(), abstract_mesh(replica=1, fsdp=1, tensor=1))
    ours = named_leaves(learner.init())["model.text.embedding"]
    with jax.default_prng_impl("rbg"):
        other = named_leaves(learner.init())["model.text.embedding"]
    np.testing.assert_array_equal(ours, other)
