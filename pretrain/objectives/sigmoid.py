"""The sigmoid contrastive term of SigLIP."""

from __future__ import annotations

from collections.abc import Mapping

import jax
from flax import nnx

from ...sharding.axes import Axes
from ..models.parameters import constant, parameter
from ..randomness import Randomness
from ..spec import ModelSpec, ObjectiveSpec
from .contrastive import Contrastive, mean_of_batch, places
from .forms_sigmoid import pair_losses
from .term import TermOutput, register


@register("sigmoid")
class Sigmoid(Contrastive):
    """Every pair is a binary classification of its own (Zhai et al., 2023, eq. 1; the sum over pairs is divided by B, not B^2):

        L = -1/B sum_ij log sigmoid(y_ij (s z_i . t_j + c))

        y_ij        t1 t2 t3 t4
                z1  +1 -1 -1 -1
                z2  -1 +1 -1 -1
                z3  -1 -1 +1 -1
                z4  -1 -1 -1 +1

    `logit_scale` is log s, `logit_bias` is c. A device holds b = B/n rows; c keys are in a tile. Floats of memory beside the embeddings,
    and floats that a device sends in value and gradient:

        form      memory                        communication
        gather    2 b B + 2 B E                 all-gather B E, reduce-scatter B E
        chunked   2 b c + 2 B E                 the same
        ring      2 b c + 6 b E                 n ppermutes each way: 3 B E, while the products are computed (section 3.3, algorithm 2)
    """

    def __init__(self, spec: ObjectiveSpec, *, model: ModelSpec, rngs: nnx.Rngs):
        super().__init__(spec, model=model, rngs=rngs)
        self.logit_bias = parameter(constant(spec.init_bias), (), rngs=rngs)

    def pairs(
        self, images: jax.Array, texts: jax.Array, batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None
    ) -> TermOutput:
        """See the class."""
        queries, bias = self.scaled(images, axes=axes), axes.vary(self.logit_bias[...])
        labels = places(len(images), axes=axes)
        losses, right = pair_losses(queries, axes.vary(texts), bias, labels, self.form_of(texts, axes=axes), axes)
        return TermOutput(loss=mean_of_batch(losses, axes=axes), metrics={"i2t_accuracy": mean_of_batch(right, axes=axes)})
