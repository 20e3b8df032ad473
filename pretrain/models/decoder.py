"""CoCa's multimodal decoder: from text tokens and image tokens to the hidden states that predict the caption."""

from __future__ import annotations

import jax
from flax import nnx

from ...sharding.axes import Axes
from ..spec import DecoderSpec, TextTowerSpec
from .blocks import Compute, DecoderBlock, Stack
from .layers import LayerNorm
from .parameters import block_init, normal, parameter
from .text_tower import causal_mask


class Decoder(nnx.Module):
    """Yu et al. (2022), section 3.2: the upper half of the text decoder, with cross-attention to the pooled image tokens."""

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

    def __call__(self, tokens: jax.Array, context: jax.Array, *, axes: Axes) -> jax.Array:
        """tokens f[B, T, D] of the text tower, context f[B, N, C] of the image tower -> hidden f[B, T, D]; logits never exist here."""
        return self.norm(self.blocks(tokens, axes=axes, context=context, mask=causal_mask(tokens.shape[1])))
