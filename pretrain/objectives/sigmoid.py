"""The sigmoid contrastive term of SigLIP."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from ..models.parameters import constant, parameter
from ..randomness import Randomness
from ..spec import ModelSpec, ObjectiveSpec
from .contrastive import Contrastive, finds_match, similarities
from .term import TermOutput, register


@register("sigmoid")
class Sigmoid(Contrastive):
    """Every pair is a binary classification of its own (Zhai et al., 2023, eq. 1; the sum over pairs is divided by B, not B^2):

        L = -1/B sum_ij log sigmoid(l_ij (s z_i . t_j + c))

        l_ij        t1 t2 t3 t4
                z1  +1 -1 -1 -1
                z2  -1 +1 -1 -1
                z3  -1 -1 +1 -1
                z4  -1 -1 -1 +1

    `logit_scale` is log s, `logit_bias` is c. Each device holds b rows: memory O(b B) floats, communication one all-gather of the text
    embeddings, B E floats.
    """

    def __init__(self, spec: ObjectiveSpec, *, model: ModelSpec, rngs: nnx.Rngs):
        super().__init__(spec, model=model, rngs=rngs)
        self.logit_bias = parameter(constant(spec.init_bias), (), rngs=rngs)

    def __call__(
        self, needed: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None
    ) -> TermOutput:
        """See the class."""
        images, texts = needed["image_embedding"], axes.all(needed["text_embedding"])
        rows, first_row = len(images), axes.first_row(len(images))
        logits = similarities(jnp.exp(self.logit_scale[...]) * images, texts) + self.logit_bias[...]
        match = jnp.arange(len(texts))[None] == (first_row + jnp.arange(rows))[:, None]
        loss = -jax.nn.log_sigmoid(jnp.where(match, logits, -logits))
        batch_size = axes.sum(jnp.float32(rows))
        correct = finds_match(logits, first_row=first_row).astype(jnp.float32)
        return TermOutput(loss=axes.sum(loss.sum()) / batch_size, metrics={"i2t_accuracy": axes.sum(correct.sum()) / batch_size})
