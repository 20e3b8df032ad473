"""Pooling: from tokens f[B, N, D] to the one vector that stands for the sample, or to the few that a decoder reads."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from .float32_sums import repeat
from .layers import CrossAttention, LayerNorm, Mlp
from .parameters import BlockInit, normal, parameter, xavier


@dataclasses.dataclass(frozen=True)
class TowerOutput:
    """tokens: f[B, N, D], what a decoder may read. pooled: f[B, D]."""

    tokens: jax.Array
    pooled: jax.Array


def token_at(x: jax.Array, index: jax.Array) -> jax.Array:
    """f[B, N, D] at i32[B] -> f[B, 1, D]."""
    return jnp.take_along_axis(x, index[:, None, None], axis=1)


def mean_token(x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The mean of f[B, N, D] over the tokens where mask bool[B, N] is true (None: all): f[B, D]."""
    if mask is None:
        return x.mean(1)
    wide = jnp.where(mask[..., None], x.astype(jnp.float32), 0.0).sum(1)
    return (wide / mask.sum(1, keepdims=True)).astype(x.dtype)


class MapPool(nnx.Module):
    """Attention pooling by one learnt probe, then a residual MLP (Zhai et al., 2022, "Scaling vision transformers", section 2.2)."""

    def __init__(self, width: int, *, heads: int, mlp_dim: int, activation: str, norm_eps: float, init: BlockInit, rngs: nnx.Rngs):
        self.probe = parameter(xavier(1, width), (1, width), None, "fsdp", rngs=rngs)
        self.attention = CrossAttention(width, context_width=width, heads=heads, init=xavier(width, width), rngs=rngs)
        self.norm = LayerNorm(width, eps=norm_eps, rngs=rngs)
        self.mlp = Mlp(width, mlp_dim=mlp_dim, activation=activation, init=init, rngs=rngs)

    def __call__(self, x: jax.Array, *, axes: Axes, mask: jax.Array | None = None) -> jax.Array:
        """f[B, N, D] -> f[B, D]. mask: which tokens the probe may look at, bool[B, 1, 1, N]."""
        y = self.attention(repeat(self.probe[...], like=x), x, axes=axes, mask=mask)
        return (y + self.mlp(self.norm(y), axes=axes))[:, 0]


class AttentionalPool(nnx.Module):
    """CoCa's pooler: learnt queries attend to the image tokens (Yu et al., 2022, section 3.2, "attentional poolers").

    One pooler gives both: query 0 is the contrastive embedding, the others are what the decoder reads (as in open_clip's CoCa).
    """

    def __init__(self, width: int, *, output_width: int, queries: int, heads: int, norm_eps: float, rngs: nnx.Rngs):
        self.query = parameter(normal(1.0), (queries, output_width), None, "fsdp", rngs=rngs)
        self.norm_query = LayerNorm(output_width, eps=norm_eps, rngs=rngs)
        self.norm_context = LayerNorm(width, eps=norm_eps, rngs=rngs)
        self.attention = CrossAttention(output_width, context_width=width, heads=heads, init=xavier(output_width, width), rngs=rngs)

    def __call__(self, x: jax.Array, *, axes: Axes, mask: jax.Array | None = None) -> jax.Array:
        """f[B, N, D] -> f[B, queries, output_width]. mask: which tokens the queries may look at, bool[B, 1, 1, N]."""
        query = repeat(self.norm_query(self.query[...]), like=x)
        return self.attention(query, self.norm_context(x), axes=axes, mask=mask)
