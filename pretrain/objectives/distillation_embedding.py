"""Distillation of a teacher's embeddings."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from ..models.dual_encoder import unit
from ..models.parameters import gathered_weight, normal, parameter
from ..randomness import Randomness
from ..spec import ModelSpec, ObjectiveSpec
from .contrastive import mean_of_batch
from .term import Term, TermOutput, register


@register("distillation_embedding")
class EmbeddingDistillation(Term):
    """Each embedding goes to the teacher's of the same image, and of the same text (Yang et al., 2024, CLIP-KD, section 3.2, "feature
    distillation"; Wei et al., 2022, with cosines):

        L = 1/B sum_i d(z_i W, z'_i) + d(t_i V, t'_i),   d(a, b) = |a - b|^2 / E' (`mse`) or 1 - a . b / |a| |b| (`cosine`)

        teacher     z'1 z'2 z'3 z'4
                z1   1   .   .   .
                z2   .   1   .   .       1: brought together; a dot is never computed. Texts likewise, images and texts never meet
                z3   .   .   1   .
                z4   .   .   .   1

    z', t': the teacher's E' numbers, of unit length. Where E' is not E, W and V are learnt (CLIP-KD's linear projection), else there are
    none. A sample is compared with nothing but its own: memory b E', communication E E' of each projection (its gather over fsdp).
    """

    needs = ("image_embedding", "text_embedding", "teacher_image_embedding", "teacher_text_embedding")
    pairwise = False

    def __init__(self, spec: ObjectiveSpec, *, model: ModelSpec, rngs: nnx.Rngs):
        self.distance = DISTANCES[spec.distillation.distance]
        shape = model.embed_dim, spec.distillation.teacher_dim or model.embed_dim

        def projection() -> nnx.Param | None:
            return None if shape[0] == shape[1] else parameter(normal(shape[0] ** -0.5), shape, "fsdp", None, rngs=rngs)

        self.image_projection, self.text_projection = projection(), projection()

    def __call__(
        self, needed: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None
    ) -> TermOutput:
        """See the class."""
        teacher = jax.lax.stop_gradient({kind: needed[f"teacher_{kind}_embedding"] for kind in ("image", "text")})
        losses = sum(
            self.distance(projected(needed[f"{kind}_embedding"], projection, axes=axes), teacher[kind])
            for kind, projection in (("image", self.image_projection), ("text", self.text_projection))
        )
        return TermOutput(loss=mean_of_batch(jnp.asarray(losses), axes=axes), metrics={})


def projected(z: jax.Array, projection: nnx.Param | None, *, axes: Axes) -> jax.Array:
    """f32[b, E] -> f32[b, E'], in full float32."""
    if projection is None:
        return z
    return jnp.matmul(z, gathered_weight(projection, axes=axes, dtype=jnp.float32), precision=jax.lax.Precision.HIGHEST)


def mean_square(z: jax.Array, teacher: jax.Array) -> jax.Array:
    """f32[b], of f32[b, E'] each."""
    return jnp.square(z - teacher).mean(-1)


def one_less_cosine(z: jax.Array, teacher: jax.Array) -> jax.Array:
    """f32[b], of f32[b, E'] each; the teacher's have unit length."""
    return 1 - (unit(z) * teacher).sum(-1)


DISTANCES = {"mse": mean_square, "cosine": one_less_cosine}
