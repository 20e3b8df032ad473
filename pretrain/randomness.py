"""Randomness inside the step: a function of (seed, step, slot) alone, so that no mesh and no microbatch changes it."""

from __future__ import annotations

import dataclasses
import zlib

import jax
import jax.numpy as jnp

# Said wherever a key is made: under another default (`JAX_DEFAULT_PRNG_IMPL`) the draws of a row would depend on the rows beside it.
GENERATOR = "threefry2x32"


@dataclasses.dataclass(frozen=True)
class Randomness:
    """The draws of one training step. key: of (seed, step), the same on every device. slots: i32[b], the places in the global batch."""

    key: jax.Array
    slots: jax.Array

    def of_step(self, purpose: str) -> jax.Array:
        """One key for the whole batch."""
        return jax.random.fold_in(self.key, zlib.crc32(purpose.encode()))

    def of_rows(self, purpose: str) -> jax.Array:
        """A key for each of this device's rows, [b]."""
        return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(self.of_step(purpose), self.slots)

    def of_parts(self, purpose: str, count: int) -> Randomness:
        """The draws of `count` parts of each row, those of a row one after the other, [b x count]; none is shared with the row."""
        return Randomness(key=self.of_step(purpose), slots=(count * self.slots[:, None] + jnp.arange(count)).reshape(-1))


def step_randomness(seed: int, step: jax.Array, slots: jax.Array) -> Randomness:
    """The draws of step `step`, i32[], for rows at `slots`."""
    return Randomness(key=jax.random.fold_in(seed_key(seed), step), slots=slots)


def seed_key(seed: int) -> jax.Array:
    """The key of a seed."""
    return jax.random.key(seed, impl=GENERATOR)
