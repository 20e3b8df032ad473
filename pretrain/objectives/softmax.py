"""The softmax contrastive term of CLIP and ALIGN."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from ...sharding.axes import Axes
from ..randomness import Randomness
from .contrastive import Contrastive, Labels, mean_of_batch, places
from .forms_softmax import cross_entropies
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

    With label smoothing e (Jia et al., 2021, ALIGN, section 5.1) a 1 is 1 - e + e/B and a dot e/B; the even part, e/B^2 sum_ij l_ij, is e s
    times the product of the mean embeddings, and costs nothing.

    `logit_scale` is log s. One product z t^T serves both ways: the sums of the columns are put together over devices. A device holds
    b = B/n rows; c keys are in a tile. Floats of memory beside the embeddings, and floats that a device sends in value and gradient:

        form      memory                        communication
        gather    3 b B + 2 B E                 all-gather B E, max and sums 4 B, reduce-scatter B E
        chunked   3 b c + 2 B E                 the same
        ring      3 b c + 6 b E                 n ppermutes each way: 3 B E + 6 B, while the products are computed
    """

    def pairs(
        self, images: jax.Array, texts: jax.Array, batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None
    ) -> TermOutput:
        """See the class."""
        queries, smoothing = self.scaled(images, axes=axes), self.spec.label_smoothing
        labels = self.labels(batch, rows=len(images), axes=axes)
        losses, right = cross_entropies(queries, axes.vary(texts), labels, smoothing, self.form_of(texts, axes=axes), axes)
        loss = mean_of_batch(losses, axes=axes)
        if smoothing:
            batch_size = len(images) * axes.count()
            loss -= smoothing * jnp.sum(axes.sum(queries.sum(0)) * axes.sum(texts.sum(0))) / batch_size**2
        return TermOutput(loss=loss, metrics={"i2t_accuracy": mean_of_batch(right, axes=axes)})

    def labels(self, batch: Mapping[str, jax.Array], *, rows: int, axes: Axes) -> Labels:
        """Which pairs are matches: those of one sample."""
        return places(rows, axes=axes)
