"""Binary cross-entropies of all pairs of a batch; no more than a tile of logits exists at a time."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from ...sharding.axes import Axes
from .contrastive import Labels, Matches, same, similarities
from .forms import PairForm
from .ring import NO_SUMS, spread, vector_sums, visit


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RowLosses:
    """What b rows know of the columns that they met. total: f32[b]."""

    total: jax.Array
    matches: Matches


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def pair_losses(
    queries: jax.Array, keys: jax.Array, bias: jax.Array, labels: Labels, form: PairForm, axes: Axes
) -> tuple[jax.Array, jax.Array]:
    """f32[b]: of each row of this device, the sum over all columns; and bool[b], whether its match is its largest.

        r_i = sum_j -log sigmoid(y_ij l_ij),   l_ij = q_i . k_j + c,   y_ij = 1 where i and j have the same labels, else -1

    queries f32[b, E] hold the scale, keys f32[b, E], bias f32[] is c; labels: arrays i32[b].
    """
    return _forward(queries, keys, bias, labels, form, axes)[0]


def _forward(
    queries: jax.Array, keys: jax.Array, bias: jax.Array, labels: Labels, form: PairForm, axes: Axes
) -> tuple[tuple[jax.Array, jax.Array], Any]:
    def tile(rows: RowLosses, columns: tuple[jax.Array, Labels]) -> tuple[RowLosses, tuple[()]]:
        logits, match = similarities(queries, columns[0]) + bias, same(labels, columns[1])
        losses = jax.nn.softplus(jnp.where(match, -logits, logits))
        return RowLosses(total=rows.total + losses.sum(1), matches=rows.matches.met(logits, match)), ()

    rows = RowLosses(total=jnp.zeros(len(queries)), matches=Matches.nothing(len(queries)))
    columns = spread((keys, labels), form=form, axes=axes)
    rows, _ = visit(tile, rows, columns, sums=NO_SUMS, form=form, axes=axes)
    return (rows.total, rows.matches.right()), (queries, columns, bias, labels)


def _backward(form: PairForm, axes: Axes, residuals: Any, cotangents: tuple[jax.Array, Any]) -> tuple[Any, Any, Any, None]:
    queries, columns, bias, labels = residuals
    weight = cotangents[0][:, None]

    def tile(gradients: tuple[jax.Array, jax.Array], columns: tuple[jax.Array, Labels]) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        of_queries, of_bias = gradients
        logits, match = similarities(queries, columns[0]) + bias, same(labels, columns[1])
        of_logits = weight * jnp.where(match, -jax.nn.sigmoid(-logits), jax.nn.sigmoid(logits))
        met = of_queries + similarities(of_logits, columns[0].T), of_bias + of_logits.sum(1)
        return met, similarities(of_logits.T, queries.T)

    start = jnp.zeros_like(queries), jnp.zeros(len(queries))
    (of_queries, of_bias), of_keys = visit(tile, start, columns, sums=vector_sums(queries.shape[1]), form=form, axes=axes)
    return of_queries, of_keys, of_bias.sum(), None


pair_losses.defvjp(_forward, _backward)
