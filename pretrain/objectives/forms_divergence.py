"""How far a student's pairs of a batch are from a teacher's; no more than a tile of logits of each exists at a time."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from ...sharding.axes import Axes
from .contrastive import similarities
from .forms import PairForm
from .forms_softmax import SumExp
from .ring import ColumnSums, spread, vector_sums, visit


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Divergence:
    """What n softmaxes of the student and of the teacher are known to differ by.

    learnt, taught: the sums of exponentials of their logits. excess: sum of exp(taught - peak) (taught - learnt), f32[n], with the peak of
    `taught`.
    """

    learnt: SumExp
    taught: SumExp
    excess: jax.Array

    @staticmethod
    def nothing(rows: int) -> Divergence:
        """Before any logit."""
        return Divergence(learnt=SumExp.nothing(rows), taught=SumExp.nothing(rows), excess=jnp.zeros(rows))

    @staticmethod
    def of(learnt: jax.Array, taught: jax.Array, *, axis: int) -> Divergence:
        """Over one axis of f32[b, c] each."""
        sums = SumExp.of(taught, axis=axis)
        excess = (jnp.exp(taught - jnp.expand_dims(sums.peak, axis)) * (taught - learnt)).sum(axis)
        return Divergence(learnt=SumExp.of(learnt, axis=axis), taught=sums, excess=excess)

    def __add__(self, other: Divergence) -> Divergence:
        taught = self.taught + other.taught
        excess = sum(part.excess * jnp.exp(part.taught.peak - taught.peak) for part in (self, other))
        return Divergence(learnt=self.learnt + other.learnt, taught=taught, excess=jnp.asarray(excess))

    def home(self, axes: Axes) -> Divergence:
        """Of all B columns on each device -> of its own b."""
        excess = axes.home(self.excess * jnp.exp(self.taught.peak - axes.max(self.taught.peak)))
        return Divergence(learnt=self.learnt.home(axes), taught=self.taught.home(axes), excess=excess)

    def nats(self) -> jax.Array:
        """KL(teacher || student), f32[n]."""
        taught, learnt = self.taught, self.learnt
        return self.excess / taught.total - (taught.peak - learnt.peak) - (jnp.log(taught.total) - jnp.log(learnt.total))


DIVERGENCES: ColumnSums[Divergence] = ColumnSums(nothing=Divergence.nothing, add=Divergence.__add__, home=Divergence.home)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def divergences(queries: jax.Array, keys: jax.Array, teacher: tuple[jax.Array, jax.Array], form: PairForm, axes: Axes) -> jax.Array:
    """f32[b]: of each pair of this device, the mean of its row's and its column's KL(teacher || student) over all pairs of the batch.

        d_i = 1/2 [KL(p'_i. || p_i.) + KL(p'_.i || p_.i)],   p_i. = softmax_j(q_i . k_j),   p_.i = softmax_j(q_j . k_i),   p': the teacher's

    queries f32[b, E] hold the scale, keys f32[b, E]; teacher: its queries and keys f32[b, E'], which no gradient reaches.
    """
    return _forward(queries, keys, teacher, form, axes)[0]


def _forward(
    queries: jax.Array, keys: jax.Array, teacher: tuple[jax.Array, jax.Array], form: PairForm, axes: Axes
) -> tuple[jax.Array, Any]:
    def tile(rows: Divergence, columns: tuple[jax.Array, jax.Array]) -> tuple[Divergence, Divergence]:
        learnt, taught = similarities(queries, columns[0]), similarities(teacher[0], columns[1])
        return rows + Divergence.of(learnt, taught, axis=1), Divergence.of(learnt, taught, axis=0)

    columns = spread((keys, teacher[1]), form=form, axes=axes)
    rows, of_columns = visit(tile, Divergence.nothing(len(queries)), columns, sums=DIVERGENCES, form=form, axes=axes)
    return (rows.nats() + of_columns.nats()) / 2, (queries, teacher[0], columns, rows, of_columns)


def _backward(form: PairForm, axes: Axes, residuals: Any, cotangents: jax.Array) -> tuple[jax.Array, jax.Array, None]:
    queries, teacher_queries, columns, rows, of_columns = residuals
    weight = cotangents / 2

    def shares(found: Divergence) -> tuple[jax.Array, ...]:
        return found.learnt.peak, weight / found.learnt.total, found.taught.peak, weight / found.taught.total

    of_rows = tuple(part[:, None] for part in shares(rows))

    def tile(gradient: jax.Array, columns: Any) -> tuple[jax.Array, jax.Array]:
        (keys, teacher_keys), theirs = columns
        learnt, taught = similarities(queries, keys), similarities(teacher_queries, teacher_keys)

        def difference(peak: jax.Array, share: jax.Array, teacher_peak: jax.Array, teacher_share: jax.Array) -> jax.Array:
            return share * jnp.exp(learnt - peak) - teacher_share * jnp.exp(taught - teacher_peak)

        of_logits = difference(*of_rows) + difference(*theirs)
        return gradient + similarities(of_logits, keys.T), similarities(of_logits.T, queries.T)

    both = (columns, spread(shares(of_columns), form=form, axes=axes))
    gradients = visit(tile, jnp.zeros_like(queries), both, sums=vector_sums(queries.shape[1]), form=form, axes=axes)
    return *gradients, None


divergences.defvjp(_forward, _backward)
