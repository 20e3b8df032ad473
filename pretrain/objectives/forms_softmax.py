"""Cross-entropies of all rows and all columns of the pairs of a batch, in one visit; no more than a tile of logits exists at a time."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from ...sharding.axes import Axes
from .contrastive import Labels, Matches, same, similarities
from .forms import PairForm
from .ring import ColumnSums, spread, vector_sums, visit


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SumExp:
    """A sum of exponentials that cannot overflow: total x exp(peak), f32[n] each (the online softmax of Milakov and Gimelshein, 2018).

    Kept apart, because log and exp of a number near 100 lose 4e-6 of it each time.
    """

    peak: jax.Array
    total: jax.Array

    @staticmethod
    def nothing(rows: int) -> SumExp:
        """The sum of no numbers."""
        return SumExp(peak=jnp.full(rows, -jnp.inf), total=jnp.zeros(rows))

    @staticmethod
    def of(logits: jax.Array, *, axis: int) -> SumExp:
        """Over one axis of f32[b, c]."""
        peak = logits.max(axis)
        return SumExp(peak=peak, total=jnp.exp(logits - jnp.expand_dims(peak, axis)).sum(axis))

    def __add__(self, other: SumExp) -> SumExp:
        peak = jnp.maximum(self.peak, other.peak)
        return SumExp(peak=peak, total=self.total * jnp.exp(self.peak - peak) + other.total * jnp.exp(other.peak - peak))

    def home(self, axes: Axes) -> SumExp:
        """Sums of all B columns on each device -> those of its own b."""
        peak = axes.max(self.peak)
        rows = len(peak) // axes.count()
        own = jax.lax.dynamic_slice_in_dim(peak, axes.first_row(rows), rows)
        return SumExp(peak=own, total=axes.home(self.total * jnp.exp(self.peak - peak)))

    def above(self, level: jax.Array) -> jax.Array:
        """log of the sum, less `level`."""
        return (self.peak - level) + jnp.log(self.total)


SUMS_OF_EXP: ColumnSums[SumExp] = ColumnSums(nothing=SumExp.nothing, add=SumExp.__add__, home=SumExp.home)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RowSums:
    """What b rows know of the columns that they met. own: sum of the logits of their matches, and how many those are, f32[b] each."""

    all: SumExp
    own: jax.Array
    count: jax.Array
    matches: Matches

    def share(self) -> jax.Array:
        """f32[b]: of each match in the target."""
        return 1 / self.count


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def cross_entropies(
    queries: jax.Array, keys: jax.Array, labels: Labels, smoothing: float, form: PairForm, axes: Axes
) -> tuple[jax.Array, jax.Array]:
    """f32[b]: of each pair of this device, the mean of its row's and its column's cross-entropy; and bool[b], whether its row is right.

        c_i = 1/2 [lse_j(l_ij) + lse_j(l_ji)] - (1 - smoothing) mean_{j: same(i, j)} l_ij,   l_ij = q_i . k_j

    queries f32[b, E] hold the scale, keys f32[b, E]; labels: arrays i32[b], pairs with the same are matches. The target is the same for
    rows and columns: i matches j as j matches i, and both have as many matches.
    """
    return _forward(queries, keys, labels, smoothing, form, axes)[0]


def _forward(
    queries: jax.Array, keys: jax.Array, labels: Labels, smoothing: float, form: PairForm, axes: Axes
) -> tuple[tuple[jax.Array, jax.Array], Any]:
    def tile(rows: RowSums, columns: tuple[jax.Array, Labels]) -> tuple[RowSums, SumExp]:
        logits, match = similarities(queries, columns[0]), same(labels, columns[1])
        met = RowSums(
            all=rows.all + SumExp.of(logits, axis=1),
            own=rows.own + jnp.where(match, logits, 0).sum(1),
            count=rows.count + match.sum(1, dtype=jnp.float32),
            matches=rows.matches.met(logits, match),
        )
        return met, SumExp.of(logits, axis=0)

    count = len(queries)
    rows = RowSums(all=SumExp.nothing(count), own=jnp.zeros(count), count=jnp.zeros(count), matches=Matches.nothing(count))
    columns = spread((keys, labels), form=form, axes=axes)
    rows, of_columns = visit(tile, rows, columns, sums=SUMS_OF_EXP, form=form, axes=axes)
    own = (1 - smoothing) * rows.own * rows.share()
    losses = (rows.all.above(own) + of_columns.above(own)) / 2
    return (losses, rows.matches.right()), (queries, columns, labels, rows, of_columns)


def _backward(smoothing: float, form: PairForm, axes: Axes, residuals: Any, cotangents: tuple[jax.Array, Any]) -> tuple[Any, Any, None]:
    queries, columns, labels, rows, of_columns = residuals
    weight = cotangents[0] / 2
    of_rows, of_matches = weight / rows.all.total, 2 * weight * (1 - smoothing) * rows.share()

    def tile(gradient: jax.Array, columns: tuple[Any, tuple[jax.Array, jax.Array]]) -> tuple[jax.Array, jax.Array]:
        (keys, theirs), (peaks, weights) = columns
        logits = similarities(queries, keys)
        by_row = of_rows[:, None] * jnp.exp(logits - rows.all.peak[:, None])
        by_column = weights * jnp.exp(logits - peaks)
        of_logits = by_row + by_column - jnp.where(same(labels, theirs), of_matches[:, None], 0)
        return gradient + similarities(of_logits, keys.T), similarities(of_logits.T, queries.T)

    both = (columns, spread((of_columns.peak, weight / of_columns.total), form=form, axes=axes))
    width = queries.shape[1]
    gradients = visit(tile, jnp.zeros_like(queries), both, sums=vector_sums(width), form=form, axes=axes)
    return *gradients, None


cross_entropies.defvjp(_forward, _backward)
