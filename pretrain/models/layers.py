"""The parts of a transformer block as per-device code: normalisation, attention, MLP.

Matrices are two-dimensional with fsdp on the leading dimension, so that each gradient leaves by a reduce-scatter; heads and hidden units
are read off the weights, so that a tensor shard runs the same code; a bias that follows a sum over tensor shards is added once, after it.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from .activations import ACTIVATIONS
from .attention import attend
from .float32_sums import add
from .parameters import BlockInit, Initializer, ones, parameter, zeros


class LayerNorm(nnx.Module):
    """Ba et al. (2016), in float32 whatever the input; f[..., D] -> f[..., D]."""

    def __init__(self, width: int, *, eps: float, rngs: nnx.Rngs):
        self.scale = parameter(ones, (width,), rngs=rngs)
        self.bias = parameter(zeros, (width,), rngs=rngs)
        self.eps = eps

    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalises over the last dimension."""
        wide = x.astype(jnp.float32)
        centred = wide - wide.mean(-1, keepdims=True)
        variance = jnp.square(centred).mean(-1, keepdims=True)
        y = centred * jax.lax.rsqrt(variance + self.eps) * self.scale[...] + self.bias[...]
        return y.astype(x.dtype)


class SelfAttention(nnx.Module):
    """Multi-head self-attention (Vaswani et al., 2017, section 3.2).

    `qkv` is f[D, H * 3 * K]: head by head, its query, key and value columns, so that a slice of columns is a whole number of heads.
    """

    def __init__(self, width: int, *, heads: int, init: BlockInit, rngs: nnx.Rngs):
        self.qkv = parameter(init.qkv, (width, 3 * width), "fsdp", "tensor", rngs=rngs)
        self.qkv_bias = parameter(zeros, (3 * width,), "tensor", rngs=rngs)
        self.out = parameter(init.out, (width, width), ("tensor", "fsdp"), None, rngs=rngs)
        self.out_bias = parameter(zeros, (width,), rngs=rngs)
        self.head_dim = width // heads

    def __call__(self, x: jax.Array, *, axes: Axes, mask: jax.Array | None = None) -> jax.Array:
        """f[B, N, D] -> f[B, N, D]."""
        q, k, v = self._split(add(x @ self.qkv[...], self.qkv_bias[...]), 3)
        return self._merge(attend(q, k, v, mask=mask), axes)

    def at(self, row: jax.Array, x: jax.Array, *, axes: Axes, mask: jax.Array | None = None) -> jax.Array:
        """The output for one query a sample: row f[B, 1, D], x f[B, N, D] -> f[B, 1, D]."""
        weights = self.qkv[...].reshape(x.shape[-1], -1, 3, self.head_dim)
        biases = self.qkv_bias[...].reshape(-1, 3, self.head_dim)
        q = add(row @ weights[:, :, 0].reshape(x.shape[-1], -1), biases[:, 0].reshape(-1))
        k, v = self._split(add(x @ weights[:, :, 1:].reshape(x.shape[-1], -1), biases[:, 1:].reshape(-1)), 2)
        return self._merge(attend(self._split(q, 1)[0], k, v, mask=mask), axes)

    def _split(self, columns: jax.Array, parts: int) -> tuple[jax.Array, ...]:
        heads = columns.reshape(*columns.shape[:2], -1, parts, self.head_dim)
        return tuple(heads[:, :, :, part] for part in range(parts))

    def _merge(self, heads: jax.Array, axes: Axes) -> jax.Array:
        return add(axes.total(heads.reshape(*heads.shape[:2], -1) @ self.out[...]), self.out_bias[...])


class CrossAttention(nnx.Module):
    """Multi-head attention from f[B, Q, D] to f[B, N, C]; heads of D / heads units."""

    def __init__(self, width: int, *, context_width: int, heads: int, init: Initializer, rngs: nnx.Rngs):
        self.query = parameter(init, (width, width), "fsdp", "tensor", rngs=rngs)
        self.query_bias = parameter(zeros, (width,), "tensor", rngs=rngs)
        self.key = parameter(init, (context_width, width), "fsdp", "tensor", rngs=rngs)
        self.key_bias = parameter(zeros, (width,), "tensor", rngs=rngs)
        self.value = parameter(init, (context_width, width), "fsdp", "tensor", rngs=rngs)
        self.value_bias = parameter(zeros, (width,), "tensor", rngs=rngs)
        self.out = parameter(init, (width, width), ("tensor", "fsdp"), None, rngs=rngs)
        self.out_bias = parameter(zeros, (width,), rngs=rngs)
        self.head_dim = width // heads

    def __call__(self, x: jax.Array, context: jax.Array, *, axes: Axes, mask: jax.Array | None = None) -> jax.Array:
        """f[B, Q, D], f[B, N, C] -> f[B, Q, D]. mask: as in `attend`."""
        q = self._heads(add(x @ self.query[...], self.query_bias[...]))
        k = self._heads(add(context @ self.key[...], self.key_bias[...]))
        v = self._heads(add(context @ self.value[...], self.value_bias[...]))
        heads = attend(q, k, v, mask=mask)
        return add(axes.total(heads.reshape(*heads.shape[:2], -1) @ self.out[...]), self.out_bias[...])

    def _heads(self, columns: jax.Array) -> jax.Array:
        return columns.reshape(*columns.shape[:2], -1, self.head_dim)


class Mlp(nnx.Module):
    """Two matrices with an activation between; f[..., D] -> f[..., D]."""

    def __init__(self, width: int, *, mlp_dim: int, activation: str, init: BlockInit, rngs: nnx.Rngs):
        self.up = parameter(init.up, (width, mlp_dim), "fsdp", "tensor", rngs=rngs)
        self.up_bias = parameter(init.up_bias, (mlp_dim,), "tensor", rngs=rngs)
        self.down = parameter(init.down, (mlp_dim, width), ("tensor", "fsdp"), None, rngs=rngs)
        self.down_bias = parameter(init.down_bias, (width,), rngs=rngs)
        self.activation = activation

    def __call__(self, x: jax.Array, *, axes: Axes) -> jax.Array:
        """Applied to every token alone."""
        hidden = ACTIVATIONS[self.activation](add(x @ self.up[...], self.up_bias[...]))
        return add(axes.total(hidden @ self.down[...]), self.down_bias[...])
