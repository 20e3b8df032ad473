"""Visits all pairs of a batch tile by tile, in one of the forms of `forms.py`: what the terms on pairs are made of. Nothing here is
differentiated: each term says its own gradient, which visits the pairs once more."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from ...sharding.axes import Axes
from .forms import PairForm

Rows = TypeVar("Rows")
Columns = Any
Sums = TypeVar("Sums")
# (what the rows know so far, columns [c, ...]) -> (the same with these columns, what this device's rows give to the columns, [c, ...])
Tile = Callable[[Rows, Columns], tuple[Rows, Sums]]


@dataclasses.dataclass(frozen=True)
class ColumnSums(Generic[Sums]):
    """How what the rows of several devices give to a column is put together.

    nothing: rows -> what no row has given to so many columns. add: of two devices. home: of all devices, [B, ...] on each -> this
    device's own columns, [b, ...].
    """

    nothing: Callable[[int], Sums]
    add: Callable[[Sums, Sums], Sums]
    home: Callable[[Sums, Axes], Sums]


NO_SUMS: ColumnSums[Any] = ColumnSums(nothing=lambda rows: (), add=lambda a, b: (), home=lambda sums, axes: ())


def vector_sums(width: int) -> ColumnSums[jax.Array]:
    """Sums of vectors f32[E]; from gathered columns they go home by a reduce-scatter."""
    return ColumnSums(nothing=lambda rows: jnp.zeros((rows, width)), add=jnp.add, home=lambda sums, axes: axes.home(sums))


def spread(columns: Columns, *, form: PairForm, axes: Axes) -> Columns:
    """Columns [b, ...] of this device as `visit` takes them: all B of them, unless they go around."""
    return columns if form.name == "ring" else jax.tree.map(axes.all, columns)


def visit(tile: Tile[Rows, Sums], rows: Rows, columns: Columns, *, sums: ColumnSums[Sums], form: PairForm, axes: Axes) -> tuple[Rows, Sums]:
    """Each row with each column of the whole batch, once.

    rows: what the rows begin with. columns: from `spread`. Returns what the rows end with, and of this device's own columns, [b, ...], what
    all rows of the batch gave them.
    """
    rows = axes.vary(rows)
    if form.name == "ring":
        return _around(tile, rows, columns, sums=sums, chunk=form.chunk, axes=axes)
    rows, given = _in_chunks(tile, rows, columns, chunk=form.chunk)
    return rows, sums.home(given, axes)


def _around(tile: Tile[Rows, Sums], rows: Rows, columns: Columns, *, sums: ColumnSums[Sums], chunk: int, axes: Axes) -> tuple[Rows, Sums]:
    """Columns go from device to device until each was everywhere; their sums go with them, one transfer behind.

    Neither transfer needs this step's products, and so both may run while those are computed.
    """

    def step(carry: tuple[Rows, Columns, Sums], _: None) -> tuple[tuple[Rows, Columns, Sums], None]:
        rows, columns, given = carry
        following, given = jax.tree.map(axes.next, (columns, given))
        rows, here = _in_chunks(tile, rows, columns, chunk=chunk)
        return (rows, following, sums.add(given, here)), None

    nothing = axes.vary(sums.nothing(_count(columns)))
    (rows, _, given), _ = lax.scan(step, (rows, columns, nothing), length=axes.count())
    return rows, jax.tree.map(axes.next, given)


def _in_chunks(tile: Tile[Rows, Sums], rows: Rows, columns: Columns, *, chunk: int) -> tuple[Rows, Sums]:
    """`tile` on `chunk` columns after the other; what is left over makes a last, smaller one."""
    count = _count(columns)
    whole, left = divmod(count, chunk)
    if whole <= 1 and not left:
        return tile(rows, columns)
    pieces = jax.tree.map(lambda x: x[: count - left].reshape(whole, chunk, *x.shape[1:]), columns)
    rows, given = lax.scan(tile, rows, pieces)
    given = jax.tree.map(lambda x: x.reshape(whole * chunk, *x.shape[2:]), given)
    if not left:
        return rows, given
    rows, last = tile(rows, jax.tree.map(lambda x: x[count - left :], columns))
    return rows, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), given, last)


def _count(columns: Columns) -> int:
    return len(jax.tree.leaves(columns)[0])
