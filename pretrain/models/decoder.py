"""The caption decoders: from text tokens and image tokens to the hidden states that predict the caption."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from ..randomness import Randomness
from ..spec import DecoderSpec, TextTowerSpec
from .blocks import Compute, DecoderBlock, Stack
from .caption_draws import parallel_samples
from .float32_sums import repeat
from .layers import LayerNorm
from .parameters import block_init, gathered_weight, normal, parameter
from .prefix_decoder import PrefixDecoder
from .text_tower import causal_mask


class Decoder(nnx.Module):
    """Yu et al. (2022), section 3.2: the upper half of the text decoder, with cross-attention to the pooled image tokens.

    With `spec.parallel`, that part of a training step's samples reads nothing of its caption, and each place looks at all others (CapPa:
    Tschannen et al., 2023, section 3, "parallel prediction"). `mask_tokens` f[T, D] is there what the paper's mask token is together with
    the embedding of its place. The text tower goes on reading all captions: the text embedding is the same.
    """

    def __init__(self, spec: DecoderSpec, *, text: TextTowerSpec, context_width: int, compute: Compute, rngs: nnx.Rngs):
        width, mlp_dim = text.width, spec.mlp_dim or 4 * text.width
        init = block_init("clip_text" if text.init == "clip" else text.init, width=width, mlp_dim=mlp_dim, depth=spec.depth)

        def block(rngs: nnx.Rngs) -> DecoderBlock:
            return DecoderBlock(
                width,
                context_width=context_width,
                heads=spec.heads,
                mlp_dim=mlp_dim,
                norm_eps=text.norm_eps,
                activation=text.activation,
                init=init,
                rngs=rngs,
            )

        self.blocks = Stack(block, depth=spec.depth, compute=compute, rngs=rngs)
        self.norm = LayerNorm(width, eps=text.norm_eps, rngs=rngs)
        self.unembedding = parameter(normal(width**-0.5), (width, text.vocab_size), "fsdp", "tensor", rngs=rngs)
        self.parallel = spec.parallel
        masked = parameter(normal(width**-0.5), (text.context_length, width), None, "fsdp", rngs=rngs) if spec.parallel else None
        self.mask_tokens = masked

    def __call__(
        self, tokens: jax.Array, context: jax.Array, *, caption: jax.Array, axes: Axes, random: Randomness | None = None
    ) -> jax.Array:
        """tokens f[B, T, D] of the text tower, context f[B, N, C] of the image tower -> hidden f[B, T, D]; logits never exist here.

        caption: i32[B, T]. random: None in an evaluation, where no sample is parallel.
        """
        mask = causal_mask(tokens.shape[1])
        if self.mask_tokens is not None and random is not None:
            parallel = parallel_samples(self.parallel, random=random)
            unread = gathered_weight(self.mask_tokens, axes=axes, dtype=jnp.float32)[: tokens.shape[1]]
            tokens = jnp.where(parallel[:, None, None], repeat(unread, like=tokens), tokens)
            mask = mask | parallel[:, None, None, None]
        return self.norm(self.blocks(tokens, axes=axes, context=context, mask=mask))


def build_decoder(
    spec: DecoderSpec, *, text: TextTowerSpec, context_width: int, compute: Compute, rngs: nnx.Rngs
) -> Decoder | PrefixDecoder:
    """The decoder that a recipe's `model.decoder` says."""
    kind = PrefixDecoder if spec.attention == "prefix" else Decoder
    return kind(spec, text=text, context_width=context_width, compute=compute, rngs=rngs)
