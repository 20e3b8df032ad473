"""SimVLM's prefix language model: one sequence of image tokens and text tokens."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from ..randomness import Randomness
from ..spec import DecoderSpec, TextTowerSpec
from .blocks import Block, Compute, Stack
from .caption_draws import prefix_lengths
from .layers import LayerNorm
from .parameters import block_init, gathered_weight, normal, parameter
from .text_tower import end_positions


class PrefixDecoder(nnx.Module):
    """Wang et al. (2022), "SimVLM", section 3.2, as a decoder alone: all image tokens and the first words of the caption see each other,
    every later word sees those and the words before it.

                     image  a  red  cat  EOS
            image      1    1   1    .    .
            a          1    1   1    .    .       prefix of 2 tokens: `a red`; what is predicted: cat, EOS
            red        1    1   1    .    .
            cat        1    1   1    1    .
            EOS        1    1   1    1    1

    The length of the prefix is drawn for each sample and step, see `prefix_lengths`. Image tokens come through a matrix of their own into
    the text's width. What the text tower below has made of a word knows the words before it, and no later one.
    """

    def __init__(self, spec: DecoderSpec, *, text: TextTowerSpec, context_width: int, compute: Compute, rngs: nnx.Rngs):
        width, mlp_dim = text.width, spec.mlp_dim or 4 * text.width
        init = block_init("clip_text" if text.init == "clip" else text.init, width=width, mlp_dim=mlp_dim, depth=spec.depth)

        def block(rngs: nnx.Rngs) -> Block:
            return Block(width, heads=spec.heads, mlp_dim=mlp_dim, activation=text.activation, norm_eps=text.norm_eps, init=init, rngs=rngs)

        self.blocks = Stack(block, depth=spec.depth, compute=compute, rngs=rngs)
        self.norm = LayerNorm(width, eps=text.norm_eps, rngs=rngs)
        self.image_projection = parameter(normal(context_width**-0.5), (context_width, width), "fsdp", None, rngs=rngs)
        self.unembedding = parameter(normal(width**-0.5), (width, text.vocab_size), "fsdp", "tensor", rngs=rngs)
        self.eos_id = text.eos_id

    def __call__(
        self, tokens: jax.Array, context: jax.Array, *, caption: jax.Array, axes: Axes, random: Randomness | None = None
    ) -> jax.Array:
        """tokens f[B, T, D] of the text tower, context f[B, N, C] of the image tower -> hidden f[B, T, D] of the text tokens.

        caption: i32[B, T]. random: None in an evaluation, where the prefix is the image and the first token.
        """
        images = context @ gathered_weight(self.image_projection, axes=axes, dtype=context.dtype)
        first = images.shape[1]
        prefixes = first + prefix_lengths(end_positions(caption, self.eos_id), random=random)
        sequence = jnp.concatenate([images, tokens], axis=1)
        return self.norm(self.blocks(sequence, axes=axes, mask=prefix_mask(prefixes, length=sequence.shape[1]))[:, first:])


def prefix_mask(prefixes: jax.Array, *, length: int) -> jax.Array:
    """Which places each may look at: those of the prefix, i32[B], itself, and those before it: bool[B, 1, length, length]."""
    places = jnp.arange(length)
    return ((places[None] <= places[:, None]) | (places[None, None] < prefixes[:, None, None]))[:, None]
