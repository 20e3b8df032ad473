"""Distillation of a teacher's contrastive logits."""

from __future__ import annotations

from collections.abc import Mapping

import jax
from flax import nnx

from ...sharding.axes import Axes
from ..randomness import Randomness
from ..spec import ModelSpec, ObjectiveSpec
from .contrastive import Contrastive
from .distillation_similarity import divergence, with_teacher
from .term import TermOutput, register


@register("distillation_logits")
class LogitDistillation(Contrastive):
    """The contrastive logits, as distributions over the batch, go to the teacher's (Yang et al., 2024, CLIP-KD, section 3.2, "contrastive
    relational distillation"; Hinton et al., 2015):

        L = 1/2B sum_i KL(p'_i. || p_i.) + KL(p'_.i || p_.i),   p_i. = softmax_j(s z_i . t_j),   p'_i. = softmax_j(s' z'_i . t'_j)

        p'          t1 t2 t3 t4
                z1  .9  . .1  .
                z2   . 1.  .  .       what the teacher says of each row, and of each column
                z3  .1  . .9  .
                z4   .  .  . 1.

    s' is the scale that the teacher was trained with, s this term's own `logit_scale`; a bias would take no part. Memory and communication
    are those of `distillation_similarity`.
    """

    needs = ("image_embedding", "text_embedding", "teacher_image_query", "teacher_text_embedding")

    def __init__(self, spec: ObjectiveSpec, *, model: ModelSpec, rngs: nnx.Rngs):
        super().__init__(spec, model=model, rngs=rngs)
        self.width = with_teacher(spec, model=model)

    def __call__(
        self, needed: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None
    ) -> TermOutput:
        """See the class. teacher_image_query: s' z', f32[b, E']."""
        teacher = needed["teacher_image_query"], needed["teacher_text_embedding"]
        queries = self.scaled(needed["image_embedding"], axes=axes)
        form = self.form(len(queries), devices=axes.count())
        return TermOutput(loss=divergence(queries, needed["text_embedding"], teacher=teacher, form=form, axes=axes), metrics={})
