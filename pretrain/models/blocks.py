"""Transformer blocks and stacks of them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from ...sharding.layouts import LAYERS, layer_layouts
from .layers import CrossAttention, LayerNorm, Mlp, SelfAttention
from .parameters import BlockInit


@dataclasses.dataclass(frozen=True)
class Compute:
    """How a tower runs, whatever it computes.

    dtype: of the arithmetic. remat: `none`, `dots` or `full`; `auto` counts as that. scan_unroll: layers compiled as straight code; 0: all.
    in_turn: the text tower's gradient is done before the image tower's begins. For towers of which both are trained: see `DualEncoder`.
    """

    dtype: jnp.dtype = jnp.float32
    remat: str = "none"
    scan_unroll: int = 1
    in_turn: bool = False

    def full_products(self) -> contextlib.AbstractContextManager[Any]:
        """In its scope the products of float32 towers are float32 ones: left to themselves TPUs take bfloat16 passes, and GPUs TF32."""
        return jax.default_matmul_precision("highest") if self.dtype == jnp.float32 else contextlib.nullcontext()

    def checkpoint(self, body: Callable) -> Callable:
        """`body` with the residuals that `remat` says are kept."""
        if self.remat == "none":
            return body
        kept = jax.checkpoint_policies
        policy = kept.dots_with_no_batch_dims_saveable if self.remat == "dots" else kept.nothing_saveable
        return jax.checkpoint(body, policy=policy, prevent_cse=False)


class Block(nnx.Module):
    """Pre-norm attention and MLP (Dosovitskiy et al., 2021, eqs. 2 and 3)."""

    def __init__(self, width: int, *, heads: int, mlp_dim: int, activation: str, norm_eps: float, init: BlockInit, rngs: nnx.Rngs):
        self.norm_1 = LayerNorm(width, eps=norm_eps, rngs=rngs)
        self.attention = SelfAttention(width, heads=heads, init=init, rngs=rngs)
        self.norm_2 = LayerNorm(width, eps=norm_eps, rngs=rngs)
        self.mlp = Mlp(width, mlp_dim=mlp_dim, activation=activation, init=init, rngs=rngs)

    def __call__(self, x: jax.Array, *, axes: Axes, mask: jax.Array | None = None) -> jax.Array:
        """f[B, N, D] -> f[B, N, D]."""
        x = x + self.attention(self.norm_1(x), axes=axes, mask=mask)
        return x + self.mlp(self.norm_2(x), axes=axes)

    def at(self, row: jax.Array, x: jax.Array, *, axes: Axes, mask: jax.Array | None = None) -> jax.Array:
        """The output at one token a sample, when nobody reads the others: row f[B, 1, D] of x f[B, N, D] -> f[B, 1, D]."""
        row = row + self.attention.at(self.norm_1(row), self.norm_1(x), axes=axes, mask=mask)
        return row + self.mlp(self.norm_2(row), axes=axes)


class DecoderBlock(nnx.Module):
    """Causal self-attention, cross-attention, MLP, each pre-norm (Yu et al., 2022, section 3.2)."""

    def __init__(
        self, width: int, *, context_width: int, heads: int, mlp_dim: int, norm_eps: float, activation: str, init: BlockInit, rngs: nnx.Rngs
    ):
        self.norm_1 = LayerNorm(width, eps=norm_eps, rngs=rngs)
        self.attention = SelfAttention(width, heads=heads, init=init, rngs=rngs)
        self.norm_cross = LayerNorm(width, eps=norm_eps, rngs=rngs)
        self.norm_context = LayerNorm(context_width, eps=norm_eps, rngs=rngs)
        self.cross = CrossAttention(width, context_width=context_width, heads=heads, init=init.out, rngs=rngs)
        self.norm_2 = LayerNorm(width, eps=norm_eps, rngs=rngs)
        self.mlp = Mlp(width, mlp_dim=mlp_dim, activation=activation, init=init, rngs=rngs)

    def __call__(self, x: jax.Array, *, context: jax.Array, axes: Axes, mask: jax.Array | None = None) -> jax.Array:
        """x f[B, T, D], context f[B, N, C] -> f[B, T, D]."""
        x = x + self.attention(self.norm_1(x), axes=axes, mask=mask)
        x = x + self.cross(self.norm_cross(x), self.norm_context(context), axes=axes)
        return x + self.mlp(self.norm_2(x), axes=axes)


class Stack(nnx.Module):
    """`depth` blocks with stacked parameters, each layer's weights gathered over fsdp when it runs."""

    def __init__(self, make_block: Callable[[nnx.Rngs], nnx.Module], *, depth: int, compute: Compute, rngs: nnx.Rngs):
        @nnx.split_rngs(splits=depth)
        @nnx.vmap(in_axes=(0,), transform_metadata={nnx.PARTITION_NAME: LAYERS})
        def stacked(rngs: nnx.Rngs) -> nnx.Module:
            return make_block(rngs)

        self.layers = stacked(rngs)
        self.depth = depth
        self.compute = compute

    def __call__(self, x: jax.Array, *, axes: Axes, **inputs: jax.Array | None) -> jax.Array:
        """Through all layers: f[B, N, D] -> f[B, N, D]. inputs: what every layer gets besides (mask, context)."""
        return self._scan(x, slice(None), axes=axes, **inputs)

    def at(
        self,
        x: jax.Array,
        row_of: Callable[[jax.Array], jax.Array],
        *,
        axes: Axes,
        mask: jax.Array | None = None,
        row_mask: jax.Array | None = None,
    ) -> jax.Array:
        """The same at one token a sample: the last layer computes its query, MLP and output for that token alone.

        For class-token and end-token pooling this is the same function with 10/12 of the last layer's work left out.
        row_of: f[B, N, D] -> f[B, 1, D]. row_mask: which tokens that row may look at, bool, broadcastable to [B, H, 1, N].
        """
        x = self._scan(x, slice(None, -1), axes=axes, mask=mask)
        graph, weights = nnx.split(self.layers)
        last = jax.tree.map(lambda w: w[-1], nnx.as_pure(weights))

        def body(x: jax.Array, last: nnx.State) -> jax.Array:
            return self._layer(graph, last, weights, axes).at(row_of(x), x, axes=axes, mask=row_mask)

        return self.compute.checkpoint(body)(x, last)

    def _scan(self, x: jax.Array, layers: slice, *, axes: Axes, **inputs: jax.Array | None) -> jax.Array:
        graph, weights = nnx.split(self.layers)
        chosen = jax.tree.map(lambda w: w[layers], nnx.as_pure(weights))
        depth = len(range(*layers.indices(self.depth)))

        def body(x: jax.Array, layer: nnx.State) -> tuple[jax.Array, None]:
            return self._layer(graph, layer, weights, axes)(x, axes=axes, **inputs), None

        return jax.lax.scan(self.compute.checkpoint(body), x, chosen, unroll=self.compute.scan_unroll or max(depth, 1))[0]

    def _layer(self, graph: nnx.GraphDef, layer: nnx.State, weights: nnx.State, axes: Axes) -> Any:
        return nnx.merge(graph, axes.whole(layer, layer_layouts(weights), dtype=self.compute.dtype))
