"""The softmax contrastive term of CLIP and ALIGN."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from ...sharding.axes import Axes
from ..randomness import Randomness
from .contrastive import Contrastive, finds_match, similarities
from .term import TermOutput, register


@register("softmax")
class Softmax(Contrastive):
    """InfoNCE over the global batch, both ways (Radford et al., 2021, figure 3):

        L = 1/2B sum_i [ lse_j(s z_i . t_j) - s z_i . t_i ] + [ lse_j(s t_i . z_j) - s t_i . z_i ]

        labels      t1 t2 t3 t4
                z1   1  .  .  .
                z2   .  1  .  .       each row and each column is one classification
                z3   .  .  1  .
                z4   .  .  .  1

    `logit_scale` is log s. Each device holds b rows: memory O(b B) floats, communication one all-gather of both embeddings, 2 B E floats.
    """

    def __call__(
        self, needed: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None
    ) -> TermOutput:
        """See the class."""
        images, texts = needed["image_embedding"], needed["text_embedding"]
        scale = jnp.exp(self.logit_scale[...])
        matches = scale * jnp.sum(images * texts, axis=-1)
        by_image = similarities(scale * images, axes.all(texts))
        by_text = similarities(scale * texts, axes.all(images))
        rows = jax.nn.logsumexp(by_image, axis=-1) + jax.nn.logsumexp(by_text, axis=-1) - 2 * matches
        batch_size = axes.sum(jnp.float32(len(images)))
        correct = finds_match(by_image, first_row=axes.first_row(len(images))).astype(jnp.float32)
        return TermOutput(loss=axes.sum(rows.sum()) / (2 * batch_size), metrics={"i2t_accuracy": axes.sum(correct.sum()) / batch_size})
