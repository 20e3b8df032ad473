"""The hardest negatives of each query in the whole batch; no more than a tile of similarities exists at a time, and none has a gradient."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from ...sharding.axes import Axes
from .contrastive import Labels, places, same, similarities
from .forms import PairForm
from .ring import NO_SUMS, Columns, spread, visit


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Hardest:
    """The N hardest negatives of b queries, the hardest first. bank: f32[K, E], vectors; place: i32[b, N], where they are in it."""

    bank: jax.Array
    place: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Nearest:
    """Of the columns met so far. similarity: f32[b, N], falling; place: i32[b, N], in `Axes.all`."""

    similarity: jax.Array
    place: jax.Array


def hardest_negatives(queries: jax.Array, keys: jax.Array, *, count: int, form: PairForm, axes: Axes) -> Hardest:
    """The `count` = N keys of other samples that are most like each query; queries and keys f32[b, E], row by row of one sample.

    Which of two equal keys comes first depends on form and mesh; the vectors do not. The batch must have more than N samples. Where keys
    go around they do so twice, or are gathered after all if that is less than the N keys of each row. Floats of memory beside the keys as
    the form holds them: 4 b (N + chunk), and with the ring min(B, b N) E.
    """
    own = places(len(queries), axes=axes)

    def tile(rows: _Nearest, columns: tuple[jax.Array, Labels]) -> tuple[_Nearest, tuple[()]]:
        keys, theirs = columns
        logits = jnp.where(same(own, theirs), -jnp.inf, similarities(queries, keys))
        both = jnp.concatenate([rows.similarity, logits], axis=1)
        where = jnp.concatenate([rows.place, jnp.broadcast_to(theirs[0], logits.shape)], axis=1)
        similarity, index = jax.lax.top_k(both, count)
        return _Nearest(similarity=similarity, place=jnp.take_along_axis(where, index, axis=1)), ()

    columns = spread((keys, own), form=form, axes=axes)
    start = _Nearest(similarity=jnp.full((len(queries), count), -jnp.inf), place=jnp.zeros((len(queries), count), jnp.int32))
    nearest, _ = visit(tile, start, columns, sums=NO_SUMS, form=form, axes=axes)
    if form.name == "ring" and count < axes.count():
        return _collected(nearest.place, columns, form=form, axes=axes)
    return Hardest(bank=axes.all(keys), place=nearest.place)


def _collected(place: jax.Array, columns: Columns, *, form: PairForm, axes: Axes) -> Hardest:
    """Keys go around once more, and each row takes its own out of those that pass, all of a device at a time."""
    rows, count = place.shape

    def tile(held: jax.Array, columns: tuple[jax.Array, Labels]) -> tuple[jax.Array, tuple[()]]:
        keys, (theirs,) = columns
        index = place.T - theirs[0]  # the rows of a device follow each other
        here = (index >= 0) & (index < len(keys))

        def take(rank: int, held: jax.Array) -> jax.Array:
            taken = keys[jnp.where(here[rank], index[rank], 0)]
            return held.at[rank].set(jnp.where(here[rank][:, None], taken, held[rank]))

        return jax.lax.fori_loop(0, count, take, held), ()  # one rank at a time: `held` is changed in place

    start = jnp.zeros((count, rows, columns[0].shape[1]))
    whole = dataclasses.replace(form, chunk=len(columns[0]))
    held, _ = visit(tile, start, columns, sums=NO_SUMS, form=whole, axes=axes)
    bank = held.reshape(count * rows, -1)
    return Hardest(bank=bank, place=jnp.arange(len(bank), dtype=jnp.int32).reshape(count, rows).T)
