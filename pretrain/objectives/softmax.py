"""The softmax contrastive term of CLIP and ALIGN."""

from __future__ import annotations

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from ..models.parameters import constant, parameter
from ..spec import ObjectiveSpec
from .term import Term, TermOutput, register


@register("softmax")
class Softmax(Term):
    """InfoNCE over the global batch, both ways (Radford et al., 2021, figure 3):

        L = 1/2B sum_i [ lse_j(s z_i . t_j) - s z_i . t_i ] + [ lse_j(s t_i . z_j) - s t_i . z_i ]

        labels      t1 t2 t3 t4
                z1   1  .  .  .
                z2   .  1  .  .       each row and each column is one classification
                z3   .  .  1  .
                z4   .  .  .  1

    `logit_scale` is log s. Each device holds b rows: memory O(b B) floats, communication one all-gather of both embeddings, 2 B E floats.
    """

    needs = ("image_embedding", "text_embedding")
    pairwise = True

    def __init__(self, spec: ObjectiveSpec, *, eos_id: int, rngs: nnx.Rngs):
        self.logit_scale = parameter(constant(math.log(spec.init_scale)), (), rngs=rngs)

    def __call__(self, needed: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], *, axes: Axes) -> TermOutput:
        """See the class."""
        images, texts = needed["image_embedding"], needed["text_embedding"]
        scale = jnp.exp(self.logit_scale[...])
        matches = scale * jnp.sum(images * texts, axis=-1)
        by_image = scale * images @ axes.all(texts).T
        by_text = scale * texts @ axes.all(images).T
        rows = jax.nn.logsumexp(by_image, axis=-1) + jax.nn.logsumexp(by_text, axis=-1) - 2 * matches
        batch_size = axes.sum(jnp.float32(len(images)))
        correct = (matches >= by_image.max(-1)).astype(jnp.float32)
        return TermOutput(loss=axes.sum(rows.sum()) / (2 * batch_size), metrics={"i2t_accuracy": axes.sum(correct.sum()) / batch_size})

    @staticmethod
    def bounds(spec: ObjectiveSpec) -> dict[str, tuple[float, float]]:
        """The scale stays in [1, max_scale], as in CLIP's and open_clip's training."""
        return {"logit_scale": (0.0, math.log(spec.max_scale))} if spec.max_scale else {}
