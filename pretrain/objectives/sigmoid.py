"""The sigmoid contrastive term of SigLIP."""

from __future__ import annotations

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from ..models.parameters import constant, parameter
from ..spec import ObjectiveSpec
from .softmax import Softmax
from .term import Term, TermOutput, register


@register("sigmoid")
class Sigmoid(Term):
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

    needs = ("image_embedding", "text_embedding")
    pairwise = True

    def __init__(self, spec: ObjectiveSpec, *, eos_id: int, rngs: nnx.Rngs):
        self.logit_scale = parameter(constant(math.log(spec.init_scale)), (), rngs=rngs)
        self.logit_bias = parameter(constant(spec.init_bias), (), rngs=rngs)

    def __call__(self, needed: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], *, axes: Axes) -> TermOutput:
        """See the class."""
        images, texts = needed["image_embedding"], axes.all(needed["text_embedding"])
        rows = len(images)
        logits = jnp.exp(self.logit_scale[...]) * images @ texts.T + self.logit_bias[...]
        match = jnp.arange(len(texts))[None] == (axes.first_row(rows) + jnp.arange(rows))[:, None]
        loss = -jax.nn.log_sigmoid(jnp.where(match, logits, -logits))
        batch_size = axes.sum(jnp.float32(rows))
        correct = (jnp.argmax(logits, -1) == axes.first_row(rows) + jnp.arange(rows)).astype(jnp.float32)
        return TermOutput(loss=axes.sum(loss.sum()) / batch_size, metrics={"i2t_accuracy": axes.sum(correct.sum()) / batch_size})

    bounds = Softmax.bounds
