"""The text tower: a transformer from token ids to token vectors and a pooled vector."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from ..spec import TextTowerSpec
from .blocks import Block, Compute, Stack
from .float32_sums import add, look_up, repeat
from .layers import LayerNorm
from .parameters import block_init, gathered_weight, normal, parameter, zeros
from .pooling import TowerOutput, token_at


def end_positions(tokens: jax.Array, eos_id: int) -> jax.Array:
    """The place of the first `eos_id`, the last place where there is none: i32[B, T] -> i32[B]."""
    ends = tokens == eos_id
    return jnp.where(ends.any(1), jnp.argmax(ends, axis=1), tokens.shape[1] - 1)


def caption_lengths(tokens: jax.Array, *, pad_id: int, eos_id: int) -> jax.Array:
    """Tokens before the padding at the end of each row, one at least; of padding by end tokens, one is the end: i32[B, T] -> i32[B]."""
    length = tokens.shape[1]
    filled = tokens[:, ::-1] != pad_id
    lengths = jnp.where(filled.any(1), length - jnp.argmax(filled, axis=1), 0)
    return jnp.clip(lengths + (pad_id == eos_id), 1, length)


def causal_mask(length: int) -> jax.Array:
    """bool[1, 1, T, T]: each position looks at itself and at those before it."""
    return jnp.tril(jnp.ones((length, length), bool))[None, None]


class TextTower(nnx.Module):
    """CLIP's causal, SigLIP's bidirectional, BERT's masked, or CoCa's unimodal text transformer, as `spec` says."""

    def __init__(self, spec: TextTowerSpec, *, embed_dim: int, compute: Compute, rngs: nnx.Rngs):
        width, mlp_dim = spec.width, spec.mlp_dim or 4 * spec.width
        clip, learnt_token = spec.init == "clip", spec.pool == "cls"
        init = block_init("clip_text" if clip else spec.init, width=width, mlp_dim=mlp_dim, depth=spec.depth)
        self.spec, self.compute = spec, compute
        self.embedding = parameter(normal(0.02 if clip else width**-0.5), (spec.vocab_size, width), "fsdp", None, rngs=rngs)
        positions = spec.context_length + learnt_token
        self.position = parameter(normal(0.01 if clip else width**-0.5), (positions, width), None, "fsdp", rngs=rngs)
        self.cls_token = parameter(normal(0.01), (width,), rngs=rngs) if learnt_token else None

        def block(rngs: nnx.Rngs) -> Block:
            return Block(width, heads=spec.heads, mlp_dim=mlp_dim, activation=spec.activation, norm_eps=spec.norm_eps, init=init, rngs=rngs)

        self.blocks = Stack(block, depth=spec.depth, compute=compute, rngs=rngs)
        self.norm = LayerNorm(width, eps=spec.norm_eps, rngs=rngs)
        self.projection = parameter(normal(width**-0.5), (width, embed_dim), "fsdp", None, rngs=rngs) if spec.projection != "none" else None
        self.projection_bias = parameter(zeros, (embed_dim,), rngs=rngs) if spec.projection == "linear_bias" else None

    def __call__(self, tokens: jax.Array, *, axes: Axes) -> TowerOutput:
        """i32[B, T] -> tokens f[B, T, D] (before the last norm, as CoCa's decoder reads them) and pooled f[B, D] (after it)."""
        x = self.blocks(self.first(tokens, axes=axes), axes=axes, mask=self._mask(tokens))
        return TowerOutput(tokens=x[:, : tokens.shape[1]], pooled=self.norm(self._row(x, tokens))[:, 0])

    def embed(self, tokens: jax.Array, *, axes: Axes) -> jax.Array:
        """i32[B, T] -> the vector that the embedding is made of, f[B, E]; nothing is computed for tokens that no one reads."""
        return self.embed_from(self.first(tokens, axes=axes), tokens, axes=axes)

    def embed_from(self, x: jax.Array, tokens: jax.Array, *, axes: Axes) -> jax.Array:
        """The same from what `first` made of the tokens."""
        row = self.blocks.at(x, lambda x: self._row(x, tokens), axes=axes, mask=self._mask(tokens), row_mask=self._row_mask(tokens))
        return self.project(self.norm(row)[:, 0], axes=axes)

    def project(self, pooled: jax.Array, *, axes: Axes) -> jax.Array:
        """f[B, D] -> f[B, E]."""
        if self.projection is not None:
            pooled = pooled @ gathered_weight(self.projection, axes=axes, dtype=self.compute.dtype)
        return pooled if self.projection_bias is None else add(pooled, self.projection_bias[...])

    def first(self, tokens: jax.Array, *, axes: Axes) -> jax.Array:
        """i32[B, T] -> what the first block reads, f[B, T, D]."""
        position = gathered_weight(self.position, axes=axes, dtype=jnp.float32)
        x = look_up(gathered_weight(self.embedding, axes=axes, dtype=self.compute.dtype), tokens)
        x = add(x, position[: tokens.shape[1]])
        if self.cls_token is None:
            return x
        return jnp.concatenate([x, repeat((self.cls_token[...] + position[-1])[None], like=x)], axis=1)

    def _row(self, x: jax.Array, tokens: jax.Array) -> jax.Array:
        if self.spec.pool == "eos":
            return token_at(x, end_positions(tokens, self.spec.eos_id))
        return x[:, -1:]

    def _mask(self, tokens: jax.Array) -> jax.Array | None:
        """Which tokens each may look at; bidirectional text looks at padding too, as SigLIP's does, unless it is masked."""
        if self.spec.attention != "causal":
            return self._row_mask(tokens)
        if self.cls_token is None:
            return causal_mask(tokens.shape[1])
        rows = jnp.broadcast_to(causal_mask(tokens.shape[1] + 1), (tokens.shape[0], 1, tokens.shape[1] + 1, tokens.shape[1] + 1))
        return rows.at[:, :, -1:].set(self._row_mask(tokens))

    def _row_mask(self, tokens: jax.Array) -> jax.Array | None:
        """What the pooled token may look at, bool[B, 1, 1, T]: the learnt one at the end sees itself and the caption, no padding."""
        if self.spec.attention == "bidirectional" or self.spec.pool == "last":
            return None
        if self.spec.attention == "bidirectional_masked":
            assert self.spec.pad_id is not None, "check_padding lets no such recipe in"
            lengths = caption_lengths(tokens, pad_id=self.spec.pad_id, eos_id=self.spec.eos_id)
        else:
            lengths = end_positions(tokens, self.spec.eos_id) + 1
        seen = jnp.arange(tokens.shape[1])[None] < lengths[:, None]
        if self.cls_token is not None:
            seen = jnp.concatenate([seen, jnp.ones((tokens.shape[0], 1), bool)], axis=1)
        return seen[:, None, None]
