"""What the contrastive terms share: the logit scale, the form, the products of pairs, and which pairs are matches."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import reduce
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from ...errors import UserError
from ...sharding.axes import Axes
from ..models.parameters import constant, parameter
from ..randomness import Randomness
from ..spec import ModelSpec, ObjectiveSpec
from .forms import PairForm, choose_form
from .matryoshka import nested
from .term import Term, TermOutput

Labels = tuple[jax.Array, ...]


class Contrastive(Term):
    """A term on pairs of unit vectors with a scale; `logit_scale` is log s, f32[]. Its `pairs` are asked for each of the nested widths."""

    needs: ClassVar[tuple[str, ...]] = ("image_embedding", "text_embedding")

    def __init__(self, spec: ObjectiveSpec, *, model: ModelSpec, rngs: nnx.Rngs):
        """Raises UserError where the scale would start outside of the bounds that each step clamps it to."""
        self.logit_scale = parameter(constant(math.log(spec.init_scale)), (), bounds=scale_bounds(spec), rngs=rngs)
        self.spec, self.width = spec, model.embed_dim

    def __call__(
        self, needed: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None
    ) -> TermOutput:
        """See the class."""
        images, texts = needed["image_embedding"], needed["text_embedding"]

        def pairs(images: jax.Array, texts: jax.Array) -> TermOutput:
            return self.pairs(images, texts, batch, axes=axes, random=random)

        return nested(pairs, images, texts, spec=self.spec.matryoshka)

    def pairs(
        self, images: jax.Array, texts: jax.Array, batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None
    ) -> TermOutput:
        """The term on unit vectors f32[b, E] of this device's rows; random: as `__call__`."""
        raise NotImplementedError

    def scaled(self, images: jax.Array, *, axes: Axes) -> jax.Array:
        """s z, f32[b, E]: the queries of the pairs."""
        log_scale = axes.vary(self.logit_scale[...])
        return jnp.exp(jax.lax.stop_gradient(log_scale) if self.spec.scale == "fixed" else log_scale) * images

    def form(self, rows: int, *, devices: int, width: int | None = None) -> PairForm:
        """See `Term`. width: m, where the first m entries alone are compared; absent: of whole embeddings."""
        held, width = self.ring_rows(rows, devices=devices), self.width if width is None else width
        return choose_form(rows=rows, devices=devices, width=width, form=self.spec.form, chunk=self.spec.chunk, ring_rows=held)

    def form_of(self, keys: jax.Array, *, axes: Axes) -> PairForm:
        """The same of this device's rows, f32[b, m]."""
        return self.form(len(keys), devices=axes.count(), width=keys.shape[1])

    def ring_rows(self, rows: int, *, devices: int) -> int:
        """Keys that a device with `rows` of the batch holds in the ring, beside those that go around."""
        return 0


def scale_bounds(spec: ObjectiveSpec) -> tuple[float, float] | None:
    """Bounds of log s, to which each step clamps it; None where `max_scale` is absent.

    A learnt scale stays in [1, max_scale], as in CLIP's and open_clip's training; a fixed one has one value.
    """
    if spec.scale == "fixed":
        return math.log(spec.init_scale), math.log(spec.init_scale)
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


def places(rows: int, *, axes: Axes) -> Labels:
    """Labels that no two samples share: their places in `Axes.all`."""
    return (axes.vary(axes.first_row(rows) + jnp.arange(rows, dtype=jnp.int32)),)


def same(rows: Labels, columns: Labels) -> jax.Array:
    """bool[b, c]: which rows and columns have the same labels."""
    return reduce(jnp.logical_and, [row[:, None] == column[None] for row, column in zip(rows, columns)])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Matches:
    """The largest logit of b rows among their matches, and among the others, f32[b] each."""

    best: jax.Array
    best_other: jax.Array

    @staticmethod
    def nothing(rows: int) -> Matches:
        """Before any column."""
        return Matches(best=jnp.full(rows, -jnp.inf), best_other=jnp.full(rows, -jnp.inf))

    def met(self, logits: jax.Array, match: jax.Array) -> Matches:
        """After the columns of f32[b, c], of which bool[b, c] are matches."""
        return Matches(
            best=jnp.maximum(self.best, jnp.where(match, logits, -jnp.inf).max(1)),
            best_other=jnp.maximum(self.best_other, jnp.where(match, -jnp.inf, logits).max(1)),
        )

    def right(self) -> jax.Array:
        """bool[b]: whether a match is the largest of its row; a tie and what is no number count against it."""
        return self.best > self.best_other


def mean_of_batch(values: jax.Array, *, axes: Axes) -> jax.Array:
    """The mean over the rows of all devices, f32[b] -> f32[]."""
    return axes.sum(values.astype(jnp.float32).sum()) / (len(values) * axes.count())
