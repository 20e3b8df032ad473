"""The projection head of a self-supervised term."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from ..models.layers import LayerNorm
from ..models.parameters import gathered, parameter, xavier, zeros


class Dense(nnx.Module):
    """A linear layer in full float32, D -> C."""

    def __init__(self, width: int, outputs: int, *, rngs: nnx.Rngs):
        self.weight = parameter(xavier(width, outputs), (width, outputs), "fsdp", None, rngs=rngs)
        self.bias = parameter(zeros, (outputs,), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """f32[B, D] -> f32[B, C]."""
        return jnp.matmul(x, self.weight[...], precision=jax.lax.Precision.HIGHEST) + self.bias[...]


class Projector(nnx.Module):
    """Linear layers, between two of them LayerNorm and ReLU: f[B, D] -> f32[B, C].

    SimCLR's and SLIP's heads have batch norm there; LayerNorm lets no row see another, and so needs no sum over devices.
    """

    def __init__(self, width: int, *, widths: tuple[int, ...], rngs: nnx.Rngs):
        inputs = (width, *widths[:-1])
        self.dense = nnx.List([Dense(before, after, rngs=rngs) for before, after in zip(inputs, widths)])
        self.norms = nnx.List([LayerNorm(inner, eps=1e-6, rngs=rngs) for inner in widths[:-1]])

    def __call__(self, x: jax.Array, *, axes: Axes) -> jax.Array:
        """One layer's weights are gathered over fsdp at a time."""
        x = x.astype(jnp.float32)
        for dense, norm in zip(self.dense, self.norms):
            x = jax.nn.relu(norm(gathered(dense, axes=axes, dtype=jnp.float32)(x)))
        return gathered(self.dense[-1], axes=axes, dtype=jnp.float32)(x)
