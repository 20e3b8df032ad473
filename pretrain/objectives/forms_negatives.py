"""Each row's negatives against its positive, which need not be one of the columns; no more than a tile of logits exists at a time."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from ...sharding.axes import Axes
from .contrastive import Labels, Matches, same, similarities
from .forms import PairForm
from .forms_softmax import SumExp
from .ring import NO_SUMS, spread, vector_sums, visit

NEVER = -1e30  # the logit of a column that is no negative: its exponential is 0, and no difference of two of them is nan


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Negatives:
    """What b rows know of the columns that they met."""

    all: SumExp
    matches: Matches


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def negative_odds(
    queries: jax.Array, keys: jax.Array, own: jax.Array, labels: Labels, form: PairForm, axes: Axes
) -> tuple[jax.Array, jax.Array]:
    """f32[b]: log-odds of a row's negatives against its positive; and bool[b], whether its match among the columns is the largest of all.

        o_i = log sum_{j: not same(i, j)} exp(q_i . k_j) - own_i,   so that softplus(o_i) is the cross-entropy of the positive

    queries f32[b, E] hold the scale, keys f32[b, E], own f32[b]: the positives' logits; labels: arrays i32[b], of rows as of columns.
    Without any negative the odds are below -1e29.
    """
    return _forward(queries, keys, own, labels, form, axes)[0]


def _forward(
    queries: jax.Array, keys: jax.Array, own: jax.Array, labels: Labels, form: PairForm, axes: Axes
) -> tuple[tuple[jax.Array, jax.Array], Any]:
    def tile(rows: Negatives, columns: tuple[jax.Array, Labels]) -> tuple[Negatives, tuple[()]]:
        logits, match = similarities(queries, columns[0]), same(labels, columns[1])
        others = SumExp.of(jnp.where(match, NEVER, logits), axis=1)
        return Negatives(all=rows.all + others, matches=rows.matches.met(logits, match)), ()

    rows = Negatives(all=SumExp.nothing(len(queries)), matches=Matches.nothing(len(queries)))
    columns = spread((keys, labels), form=form, axes=axes)
    rows, _ = visit(tile, rows, columns, sums=NO_SUMS, form=form, axes=axes)
    return (rows.all.above(own), rows.matches.right()), (queries, columns, labels, rows.all)


def _backward(form: PairForm, axes: Axes, residuals: Any, cotangents: tuple[jax.Array, Any]) -> tuple[Any, Any, Any, None]:
    queries, columns, labels, negatives = residuals
    of_rows, peak = (cotangents[0] / negatives.total)[:, None], negatives.peak[:, None]

    def tile(gradient: jax.Array, columns: tuple[jax.Array, Labels]) -> tuple[jax.Array, jax.Array]:
        keys, theirs = columns
        others = jnp.where(same(labels, theirs), NEVER, similarities(queries, keys) - peak)
        of_logits = of_rows * jnp.exp(others)
        return gradient + similarities(of_logits, keys.T), similarities(of_logits.T, queries.T)

    sums = vector_sums(queries.shape[1])
    of_queries, of_keys = visit(tile, jnp.zeros_like(queries), columns, sums=sums, form=form, axes=axes)
    return of_queries, of_keys, -cotangents[0], None


negative_odds.defvjp(_forward, _backward)
