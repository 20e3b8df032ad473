"""Distillation of how similar a teacher finds the images and texts of a batch."""

from __future__ import annotations

from collections.abc import Mapping

import jax
from flax import nnx

from ...sharding.axes import Axes
from ..randomness import Randomness
from ..spec import ModelSpec, ObjectiveSpec
from .contrastive import mean_of_batch
from .forms import PairForm, choose_form
from .forms_divergence import divergences
from .term import Term, TermOutput, register


@register("distillation_similarity")
class SimilarityDistillation(Term):
    """The cosines of images and texts, as distributions over the batch, go to the teacher's (Wu et al., 2023, TinyCLIP, section 3.1,
    "affinity mimicking"; with one fixed temperature for both, and the teacher's entropy taken off):

        L = 1/2B sum_i KL(p'_i. || p_i.) + KL(p'_.i || p_.i),   p_i. = softmax_j(z_i . t_j / tau),   p_.i = softmax_j(z_j . t_i / tau)

        p'          t1 t2 t3 t4
                z1  .7 .1 .2  .
                z2   . .9  . .1       what the teacher says of each row, and of each column
                z3  .2  . .8  .
                z4   . .1 .1 .8

    A device holds b = B/n rows of E numbers, E' of the teacher; c keys are in a tile. Floats of memory beside the embeddings, and floats
    that a device sends in value and gradient:

        form      memory                        communication
        gather    6 b B + B (2 E + E')          all-gather B (E + E'), maxima and sums 9 B, reduce-scatter B E
        chunked   6 b c + B (2 E + E')          the same
        ring      6 b c + b (6 E + 2 E')        n ppermutes each way: B (3 E + 2 E') + 9 B, while the products are computed
    """

    needs = ("image_embedding", "text_embedding", "teacher_image_embedding", "teacher_text_embedding")

    def __init__(self, spec: ObjectiveSpec, *, model: ModelSpec, rngs: nnx.Rngs):
        self.spec, self.width = spec, with_teacher(spec, model=model)

    def __call__(
        self, needed: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None
    ) -> TermOutput:
        """See the class."""
        scale = 1 / self.spec.distillation.temperature
        queries, teacher = scale * needed["image_embedding"], scale * needed["teacher_image_embedding"]
        form, both = self.form(len(queries), devices=axes.count()), (teacher, needed["teacher_text_embedding"])
        return TermOutput(loss=divergence(queries, needed["text_embedding"], teacher=both, form=form, axes=axes), metrics={})

    def form(self, rows: int, *, devices: int) -> PairForm:
        """See `Term`."""
        return choose_form(rows=rows, devices=devices, width=self.width, form=self.spec.form, chunk=self.spec.chunk)


def with_teacher(spec: ObjectiveSpec, *, model: ModelSpec) -> int:
    """E + E': a sample's numbers, the model's and the teacher's, that meet those of all others."""
    return model.embed_dim + (spec.distillation.teacher_dim or model.embed_dim)


def divergence(queries: jax.Array, keys: jax.Array, *, teacher: tuple[jax.Array, jax.Array], form: PairForm, axes: Axes) -> jax.Array:
    """f32[]: the mean of `divergences` over the rows of all devices, f32[b, E] each; the teacher's f32[b, E']."""
    queries, keys, teacher = axes.vary((queries, keys, teacher))
    return mean_of_batch(divergences(queries, keys, teacher, form, axes), axes=axes)
