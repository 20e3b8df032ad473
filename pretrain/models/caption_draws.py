"""What is drawn for each sample before its caption is predicted. The decoder and the captioning term draw the same."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ..randomness import Randomness


def parallel_samples(fraction: float, *, random: Randomness) -> jax.Array:
    """bool[B]: whose words are predicted all at once (Tschannen et al., 2023, section 3, "parallel prediction")."""
    return jax.vmap(jax.random.uniform)(random.of_rows("parallel captions")) < fraction


def prefix_lengths(ends: jax.Array, *, random: Randomness | None) -> jax.Array:
    """How many first tokens are the prefix, i32[B], evenly from 1 to ends i32[B], the place of the end token (1, where that is the first).

    So the first token, which nothing predicts, is always of the prefix, and the end token never (Wang et al., 2022, section 3.2, leaves
    the distribution open). random: None, in an evaluation: 1 each, the image alone says the rest.
    """
    if random is None:
        return jnp.ones_like(ends)
    share = jax.vmap(jax.random.uniform)(random.of_rows("caption prefixes"))
    return jnp.clip(1 + jnp.floor(share * ends).astype(jnp.int32), 1, jnp.maximum(ends, 1))
