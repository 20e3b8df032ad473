"""Scaled dot-product attention, some samples at a time where the logits of all would fill the device."""

from __future__ import annotations

import jax
import jax.numpy as jnp

# Bytes of float32 logits that may exist at once on a device. Whole, they were the largest buffer in the gradient of a rematerialised layer:
# 300 of 1,798 MiB in SigLIP B/16's step with 128 images of 196 tokens on a v5e.
LOGITS_BYTES = 2**26


def attend(q: jax.Array, k: jax.Array, v: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
    """Scaled dot-product attention with a float32 softmax: f[B, Q, H, K], f[B, N, H, K] x 2 -> f[B, Q, H, K].

    In parts of the batch, each within LOGITS_BYTES, whose logits the gradient computes again: 4% more products in a tower of 196 tokens and
    width 768, and none where one part holds all. mask: bool, broadcastable to [B, H, Q, N]; True where a query may look.
    """
    samples, queries, heads, _ = q.shape
    parts = parts_of(samples, of=4 * heads * queries * k.shape[1])
    if parts == 1:
        return _attend(q, k, v, mask)
    own_masks = mask is not None and len(mask) == samples

    def split(x: jax.Array) -> jax.Array:
        return x.reshape(parts, samples // parts, *x.shape[1:])

    def some(q: jax.Array, k: jax.Array, v: jax.Array, own: jax.Array | None) -> jax.Array:
        return _attend(q, k, v, own if own_masks else mask)

    inputs = jax.tree.map(split, (q, k, v, mask if own_masks else None))
    return jax.lax.map(lambda part: jax.checkpoint(some, prevent_cse=False)(*part), inputs).reshape(q.shape)


def parts_of(samples: int, *, of: int) -> int:
    """In how few equal parts `samples` of `of` bytes each are within LOGITS_BYTES; one sample is never divided."""
    fitting = (parts for parts in range(1, samples + 1) if samples % parts == 0 and samples // parts * of <= LOGITS_BYTES)
    return next(fitting, samples)


def _attend(q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None) -> jax.Array:
    logits = jnp.einsum("bqhk,bnhk->bhqn", q * q.shape[-1] ** -0.5, k, preferred_element_type=jnp.float32)
    if mask is not None:
        logits = jnp.where(mask, logits, jnp.finfo(jnp.float32).min)
    return jnp.einsum("bhqn,bnhk->bqhk", jax.nn.softmax(logits, axis=-1).astype(v.dtype), v)
