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

HIDDEN = -1e30  # the logit of a view with itself: a number, so that a tile of nothing else has a finite peak


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ViewSums:
    """What views know of those that they met. own: the logit of the other view of the same image, f32[n]."""

    all: SumExp
    own: jax.Array
    matches: Matches


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def view_cross_entropies(views: jax.Array, scale: float, form: PairForm, axes: Axes) -> tuple[jax.Array, jax.Array]:
    """f32[n]: of each view of this device; and bool[n], whether the other view of its image is its nearest.

        c_i = lse_{j != i}(l_ij) - l_ip(i),   l_ij = s z_i . z_j

    views: unit vectors f32[n, E], the two of an image one after the other. The logits are symmetric: rows alone are summed, and nothing but
    the views and two numbers for each ever leaves a device.
    """
    return _forward(views, scale, form, axes)[0]


def _tile_logits(views: jax.Array, mine: jax.Array, columns: tuple[jax.Array, jax.Array], scale: float) -> tuple[jax.Array, jax.Array]:
    """f32[n, c] without what a view has with itself, and bool[n, c], which are the two views of an image."""
    keys, theirs = columns
    logits = similarities(scale * views, keys)
    return jnp.where(mine[:, None] == theirs, HIDDEN, logits), (mine ^ 1)[:, None] == theirs


def _forward(views: jax.Array, scale: float, form: PairForm, axes: Axes) -> tuple[tuple[jax.Array, jax.Array], Any]:
    (mine,) = places(len(views), axes=axes)

    def tile(rows: ViewSums, columns: tuple[jax.Array, jax.Array]) -> tuple[ViewSums, tuple[()]]:
        logits, match = _tile_logits(views, mine, columns, scale)
        own = rows.own + jnp.where(match, logits, 0).sum(1)
        return ViewSums(all=rows.all + SumExp.of(logits, axis=1), own=own, matches=rows.matches.met(logits, match)), ()

    count = len(views)
    rows = ViewSums(all=SumExp.nothing(count), own=jnp.zeros(count), matches=Matches.nothing(count))
    columns = spread((views, mine), form=form, axes=axes)
    rows, _ = visit(tile, rows, columns, sums=NO_SUMS, form=form, axes=axes)
    return (rows.all.above(rows.own), rows.matches.right()), (views, columns, rows.all)


def _backward(scale: float, form: PairForm, axes: Axes, residuals: Any, cotangents: tuple[jax.Array, Any]) -> tuple[jax.Array]:
    views, columns, sums = residuals
    (mine,) = places(len(views), axes=axes)
    weight, share = cotangents[0], cotangents[0] / sums.total

    def tile(gradient: jax.Array, columns: Any) -> tuple[jax.Array, tuple[()]]:
        theirs, (peaks, shares, weights) = columns
        logits, match = _tile_logits(views, mine, theirs, scale)
        both = share[:, None] * jnp.exp(logits - sums.peak[:, None]) + shares * jnp.exp(logits - peaks)
        of_logits = both - jnp.where(match, weight[:, None] + weights, 0)
        return gradient + similarities(of_logits, theirs[0].T), ()

    given = (columns, spread((sums.peak, share, weight), form=form, axes=axes))
    gradient, _ = visit(tile, jnp.zeros_like(views), given, sums=NO_SUMS, form=form, axes=axes)
    return (scale * gradient,)


view_cross_entropies.defvjp(_forward, _backward)
