"""The image tower: a vision transformer from uint8 pixels to tokens and a pooled vector."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from ..randomness import Randomness
from ..spec import ImageTowerSpec
from .blocks import Block, Compute, Stack
from .float32_sums import add, repeat
from .image_inputs import Images, PatchSequences, pixel_rows, position_rows, take
from .layers import LayerNorm
from .parameters import block_init, gathered, gathered_weight, normal, parameter, uniform, xavier, zeros
from .patch_dropout import kept_patches
from .pooling import AttentionalPool, MapPool, TowerOutput, mean_token


class ImageTower(nnx.Module):
    """Dosovitskiy et al. (2021), with CLIP's or SigLIP's details as `spec` says."""

    def __init__(self, spec: ImageTowerSpec, *, image_size: int, embed_dim: int, compute: Compute, rngs: nnx.Rngs):
        width, mlp_dim = spec.width, spec.mlp_dim or 4 * spec.width
        pixels, count = 3 * spec.patch_size**2, (image_size // spec.patch_size) ** 2
        clip = spec.init == "clip"
        init = block_init("clip_image" if clip else spec.init, width=width, mlp_dim=mlp_dim, depth=spec.depth)
        self.spec, self.compute, self.grid = spec, compute, image_size // spec.patch_size
        self.patch = parameter(uniform(pixels**-0.5) if clip else xavier(pixels, width), (pixels, width), None, "fsdp", rngs=rngs)
        self.patch_bias = None if clip else parameter(zeros, (width,), rngs=rngs)
        self.class_token = parameter(normal(width**-0.5), (width,), rngs=rngs) if spec.pool == "cls" else None
        self.position = parameter(normal(width**-0.5), (count + (spec.pool == "cls"), width), None, "fsdp", rngs=rngs)
        self.norm_first = LayerNorm(width, eps=spec.norm_eps, rngs=rngs) if spec.norm_first == "layernorm" else None

        def block(rngs: nnx.Rngs) -> Block:
            return Block(width, heads=spec.heads, mlp_dim=mlp_dim, activation=spec.activation, norm_eps=spec.norm_eps, init=init, rngs=rngs)

        self.blocks = Stack(block, depth=spec.depth, compute=compute, rngs=rngs)
        output_width = embed_dim if spec.pool == "attentional" else width
        self.pool = self._make_pool(spec, embed_dim=embed_dim, rngs=rngs)
        self.norm = LayerNorm(output_width, eps=spec.norm_eps, rngs=rngs)
        self.projection = (
            parameter(normal(output_width**-0.5), (output_width, embed_dim), "fsdp", None, rngs=rngs)
            if spec.projection == "linear"
            else None
        )

    @staticmethod
    def _make_pool(spec: ImageTowerSpec, *, embed_dim: int, rngs: nnx.Rngs) -> Any:
        width, mlp_dim, heads = spec.width, spec.mlp_dim or 4 * spec.width, spec.pool_heads or spec.heads
        if spec.pool == "map":
            init = block_init("big_vision", width=width, mlp_dim=mlp_dim, depth=1)
            return MapPool(width, heads=heads, mlp_dim=mlp_dim, activation=spec.activation, norm_eps=spec.norm_eps, init=init, rngs=rngs)
        if spec.pool == "attentional":
            return AttentionalPool(width, output_width=embed_dim, queries=spec.pool_queries, heads=heads, norm_eps=spec.norm_eps, rngs=rngs)
        return None

    def __call__(self, images: Images, *, axes: Axes, random: Randomness | None = None) -> TowerOutput:
        """uint8[B, H, W, 3], or patches -> tokens f[B, N, D] and pooled f[B, D] (before the projection).

        random: the draws of a training step, in which `patch_dropout` leaves fewer tokens; None: an evaluation.
        """
        kept = self._kept(images, random)
        mask = self._mask(images, kept)
        x = self.blocks(self._embed(images, kept, axes), axes=axes, mask=mask)
        match self.spec.pool:
            case "cls":
                tokens = self.norm(x)
                return TowerOutput(tokens=tokens[:, 1:], pooled=tokens[:, 0])
            case "gap":
                tokens = self.norm(x)
                return TowerOutput(tokens=tokens, pooled=mean_token(tokens, None if mask is None else mask[:, 0, 0]))
            case "map":
                tokens = self.norm(x)
                pool = gathered(self.pool, axes=axes, dtype=self.compute.dtype)
                return TowerOutput(tokens=tokens, pooled=pool(tokens, axes=axes, mask=mask))
            case _:
                tokens = self.norm(gathered(self.pool, axes=axes, dtype=self.compute.dtype)(x, axes=axes, mask=mask))
                return TowerOutput(tokens=tokens[:, 1:], pooled=tokens[:, 0])

    def embed(self, images: Images, *, axes: Axes, random: Randomness | None = None) -> jax.Array:
        """What `__call__` takes -> the vector that the embedding is made of, f[B, E]; nothing is computed for tokens that no one reads."""
        return self.project(self.pooled(images, axes=axes, random=random), axes=axes)

    def pooled(self, images: Images, *, axes: Axes, random: Randomness | None = None) -> jax.Array:
        """What `__call__` takes -> its pooled vector alone, f[B, D]."""
        if self.spec.pool == "cls":
            kept = self._kept(images, random)
            mask = self._mask(images, kept)
            row = self.blocks.at(self._embed(images, kept, axes), lambda x: x[:, :1], axes=axes, mask=mask, row_mask=mask)
            return self.norm(row)[:, 0]
        return self(images, axes=axes, random=random).pooled

    def project(self, pooled: jax.Array, *, axes: Axes) -> jax.Array:
        """f[B, D] -> f[B, E]."""
        if self.projection is None:
            return pooled
        return pooled @ gathered_weight(self.projection, axes=axes, dtype=self.compute.dtype)

    def _kept(self, images: Images, random: Randomness | None) -> jax.Array | None:
        """Which patches the tower reads, i32[B, K]; None: all."""
        return kept_patches(images, patch_size=self.spec.patch_size, dropout=self.spec.patch_dropout, random=random)

    def _embed(self, images: Images, kept: jax.Array | None, axes: Axes) -> jax.Array:
        pixels = pixel_rows(images, kept, spec=self.spec).astype(self.compute.dtype)
        x = pixels @ gathered_weight(self.patch, axes=axes, dtype=self.compute.dtype)
        if self.patch_bias is not None:
            x = add(x, self.patch_bias[...])
        if self.class_token is not None:
            x = jnp.concatenate([repeat(self.class_token[...][None], like=x), x], axis=1)
        x = add(x, self._positions(images, kept, axes))
        return x if self.norm_first is None else self.norm_first(x)

    def _positions(self, images: Images, kept: jax.Array | None, axes: Axes) -> jax.Array:
        """f32[N, D], or [B, N, D] where samples differ: of the class token, if there is one, then of each patch."""
        table = gathered_weight(self.position, axes=axes, dtype=jnp.float32)
        first = len(table) - self.grid**2
        on_grid = position_rows(table[first:], images, kept, grid=self.grid, patch_size=self.spec.patch_size)
        before = jnp.broadcast_to(table[:first], (*on_grid.shape[:-2], first, on_grid.shape[-1]))
        return jnp.concatenate([before, on_grid], axis=-2)

    def _mask(self, images: Images, kept: jax.Array | None) -> jax.Array | None:
        """Which tokens may be looked at, bool[B, 1, 1, N]; None: all."""
        if not isinstance(images, PatchSequences):
            return None
        first = self.class_token is not None
        return jnp.pad(take(images.mask, kept), ((0, 0), (first, 0)), constant_values=True)[:, None, None]
