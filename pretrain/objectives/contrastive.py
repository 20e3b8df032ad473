"""What the contrastive terms share: the logit scale, the products of all pairs, and the rows that find their match."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import nnx

from ...errors import UserError
from ..models.parameters import constant, parameter
from ..spec import ModelSpec, ObjectiveSpec
from .term import Term


class Contrastive(Term):
    """A term on pairs of unit vectors with a learnt scale; `logit_scale` is log s, f32[]."""

    needs = ("image_embedding", "text_embedding")

    def __init__(self, spec: ObjectiveSpec, *, model: ModelSpec, rngs: nnx.Rngs):
        """Raises UserError where the scale would start outside of the bounds that each step clamps it to."""
        self.logit_scale = parameter(constant(math.log(spec.init_scale)), (), bounds=scale_bounds(spec), rngs=rngs)


def scale_bounds(spec: ObjectiveSpec) -> tuple[float, float] | None:
    """The scale stays in [1, max_scale], as in CLIP's and open_clip's training: bounds of log s, None where `max_scale` is absent."""
    if spec.max_scale is None:
        return None
    if spec.max_scale < 1:
        raise UserError(f"objective.max_scale = {spec.max_scale} is below 1; accepted is a number from 1, or none")
    if not 1 <= spec.init_scale <= spec.max_scale:
        raise UserError(
            f"objective.init_scale = {spec.init_scale} is outside of the bounds that each step clamps it to; "
            f"accepted is 1 to objective.max_scale = {spec.max_scale}, or any number above 0 with objective.max_scale = none"
        )
    return 0.0, math.log(spec.max_scale)


def similarities(queries: jax.Array, keys: jax.Array) -> jax.Array:
    """f32[b, E], f32[B, E] -> f32[b, B], in full float32: left to themselves TPUs take bfloat16 passes, and GPUs TF32."""
    return jnp.einsum("be,ke->bk", queries, keys, precision=jax.lax.Precision.HIGHEST)


def finds_match(logits: jax.Array, *, first_row: jax.Array | int) -> jax.Array:
    """bool[b]: whether a row of f32[b, B] is largest at its own column, first_row + row; a tie and what is no number count against it."""
    own = jnp.take_along_axis(logits, (first_row + jnp.arange(len(logits)))[:, None], axis=1)
    return jnp.sum(logits >= own, axis=1) == 1
