"""Cross-entropies of all views of a batch, each against all others; no more than a tile of logits exists at a time."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from ...sharding.axes import Axes
from .contrastive import Matches, places, similarities
from .forms import PairForm
from .forms_softmax import SumExp
from .ring import NO_SUMS, spread, visit

HIDDEN = -1e30  # the logit of what is left out of a sum: a number, so that a tile of nothing else has a finite peak


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ViewSums:
    """What views know of those that they met. own: the logit of the other view of the same image, f32[n]; others: of all other images."""

    others: SumExp
    own: jax.Array
    matches: Matches


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def view_cross_entropies(views: jax.Array, scale: float, form: PairForm, axes: Axes) -> tuple[jax.Array, jax.Array]:
    """f32[n]: of each view of this device; and bool[n], whether the other view of its image is its nearest.

        c_i = lse_{j != i}(l_ij) - l_ip(i) = softplus(d_i),   d_i = lse_{j != i, p(i)}(l_ij) - l_ip(i),   l_ij = s z_i . z_j

    views: unit vectors f32[n, E], the two of an image one after the other. The gradient of a row is sigmoid(d_i) times the softmax over the
    other images less the match: a difference of two probabilities near 1 would lose all digits where the loss is small. The logits are
    symmetric: rows alone are summed, and nothing but the views and three numbers for each ever leaves a device.
    """
    return _forward(views, scale, form, axes)[0]


def _tile(views: jax.Array, mine: jax.Array, columns: tuple[jax.Array, jax.Array], scale: float) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The logits f32[n, c]; bool[n, c], which are the two views of an image, and which are of other images."""
    keys, theirs = columns
    return similarities(scale * views, keys), (mine ^ 1)[:, None] == theirs, (mine // 2)[:, None] != theirs // 2


def _forward(views: jax.Array, scale: float, form: PairForm, axes: Axes) -> tuple[tuple[jax.Array, jax.Array], Any]:
    (mine,) = places(len(views), axes=axes)

    def tile(rows: ViewSums, columns: tuple[jax.Array, jax.Array]) -> tuple[ViewSums, tuple[()]]:
        logits, match, other = _tile(views, mine, columns, scale)
        met = ViewSums(
            others=rows.others + SumExp.of(jnp.where(other, logits, HIDDEN), axis=1),
            own=rows.own + jnp.where(match, logits, 0).sum(1),
            matches=rows.matches.met(jnp.where(match | other, logits, HIDDEN), match),
        )
        return met, ()

    count = len(views)
    rows = ViewSums(others=SumExp.nothing(count), own=jnp.zeros(count), matches=Matches.nothing(count))
    columns = spread((views, mine), form=form, axes=axes)
    rows, _ = visit(tile, rows, columns, sums=NO_SUMS, form=form, axes=axes)
    margins = rows.others.above(rows.own)
    return (jax.nn.softplus(margins), rows.matches.right()), (views, columns, rows.others, margins)


def _backward(scale: float, form: PairForm, axes: Axes, residuals: Any, cotangents: tuple[jax.Array, Any]) -> tuple[jax.Array]:
    views, columns, others, margins = residuals
    (mine,) = places(len(views), axes=axes)
    weight = cotangents[0] * jax.nn.sigmoid(margins)

    def tile(gradient: jax.Array, columns: Any) -> tuple[jax.Array, tuple[()]]:
        theirs, (peaks, totals, weights) = columns
        logits, match, other = _tile(views, mine, theirs, scale)
        by_row = (weight / others.total)[:, None] * jnp.exp(logits - others.peak[:, None])
        by_column = weights / totals * jnp.exp(logits - peaks)
        of_logits = jnp.where(other, by_row + by_column, 0) - jnp.where(match, weight[:, None] + weights, 0)
        return gradient + similarities(of_logits, theirs[0].T), ()

    given = (columns, spread((others.peak, others.total, weight), form=form, axes=axes))
    gradient, _ = visit(tile, jnp.zeros_like(views), given, sums=NO_SUMS, form=form, axes=axes)
    return (scale * gradient,)


view_cross_entropies.defvjp(_forward, _backward)
