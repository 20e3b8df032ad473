"""Parameters that many tokens share. Their gradients are sums over tokens, kept in float32 whatever the towers compute in.

A bfloat16 sum stops growing at 2^8 to 2^9 times its summand: a word that occurs 1,000 times in a batch would get the gradient of 400.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def add(x: jax.Array, vector: jax.Array) -> jax.Array:
    """x f[..., D] + vector f32[D] (or f32[N, D], for the places), added in float32 and rounded to x's dtype."""
    return (x + vector).astype(x.dtype)


def repeat(tokens: jax.Array, *, like: jax.Array) -> jax.Array:
    """The same tokens f[Q, D] for each sample of `like` f[B, ...], in its dtype: f[B, Q, D]."""
    return jnp.broadcast_to(tokens.astype(jnp.float32), (len(like), *tokens.shape)).astype(like.dtype)


@jax.custom_vjp
def look_up(table: jax.Array, tokens: jax.Array) -> jax.Array:
    """Rows of table f[V, D] at i32[B, T] -> f[B, T, D]. The gradient is rounded to the table's dtype when its sum is done.

    The rounding keeps the bytes that leave by the reduce-scatter over fsdp; the sum takes V D floats of memory for a while.
    """
    return table[tokens]


def _rows(table: jax.Array, tokens: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return table[tokens], (table, tokens)


def _table_gradient(residuals: tuple[jax.Array, jax.Array], rows: jax.Array) -> tuple[jax.Array, None]:
    table, tokens = residuals
    sums = jnp.zeros_like(table, dtype=jnp.float32).at[tokens].add(rows.astype(jnp.float32))
    return sums.astype(table.dtype), None


look_up.defvjp(_rows, _table_gradient)
