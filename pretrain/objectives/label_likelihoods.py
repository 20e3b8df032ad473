"""Log-likelihoods of labels under a softmax over the vocabulary, of which some columns of logits exist at a time."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ...sharding.axes import Axes
from .forms_softmax import SumExp

FLOAT = 4  # bytes: logits are float32
# Logits that may exist at once on a device, where that leaves a piece wide enough for the products to be worth their reading of `hidden`:
# 6 D c products a row meet about 16 D + 12 c bytes, 300 FLOP a byte with 1,024 columns and D = 1,408 (a v5e has 240).
PIECE_BYTES, LEAST_COLUMNS = 64 << 20, 1024


def vocab_chunk(*, rows: int, columns: int, chunk: int | None = None) -> int:
    """How many of a device's `columns` of the vocabulary a piece has, where it holds logits of `rows` places.

    chunk: as `objective.captioning.vocab_chunk`; absent: a power of two, what 64 MiB hold, at least 1,024.
    """
    fitting = max(LEAST_COLUMNS, 2 ** int(math.log2(max(1, PIECE_BYTES // (FLOAT * rows)))))
    return min(columns, chunk or fitting)


def label_log_likelihoods(hidden: jax.Array, labels: jax.Array, unembedding: jax.Array, *, chunk: int, axes: Axes) -> jax.Array:
    """log softmax(hidden @ unembedding) at the labels: hidden f[n, D], labels i32[n], unembedding f[D, V / tensor] -> f32[n].

    One piece of all columns keeps its logits for the gradient. Of several, `chunk` columns each, no more than one exists, and the gradient
    makes each once more: 4/3 of the products. Floats a device holds beside its arguments, and those that it sums over tensor:

        memory           3 n chunk + n D + D V / tensor      the last two are the gradients
        communication    3 n, and n D in the gradient
    """
    if chunk >= unembedding.shape[1]:
        return _at_once(hidden, labels, unembedding, axes)
    return _in_pieces(hidden, labels, unembedding, chunk, axes)


def _at_once(hidden: jax.Array, labels: jax.Array, unembedding: jax.Array, axes: Axes) -> jax.Array:
    logits = _product(hidden, unembedding)
    shift = axes.tensor_max(logits.max(-1))
    log_total = jnp.log(axes.total(jnp.exp(logits - shift[:, None]).sum(-1)))
    own = jnp.where(_own(labels, unembedding, axes)[:, None] == jnp.arange(logits.shape[1]), logits, 0).sum(-1)
    return (axes.total(own) - shift) - log_total


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _in_pieces(hidden: jax.Array, labels: jax.Array, unembedding: jax.Array, chunk: int, axes: Axes) -> jax.Array:
    return _forward(hidden, labels, unembedding, chunk, axes)[0]


def _forward(hidden: jax.Array, labels: jax.Array, unembedding: jax.Array, chunk: int, axes: Axes) -> tuple[jax.Array, Any]:
    labels, count = _own(labels, unembedding, axes), len(hidden)

    def piece(met: tuple[SumExp, jax.Array], first: jax.Array) -> tuple[tuple[SumExp, jax.Array], None]:
        sums, own = met
        part, columns = _columns(unembedding, first, chunk)
        logits = jnp.where(columns >= first, _product(hidden, part), -jnp.inf)
        own += jnp.where(_is(labels, columns) & (columns >= first), logits, 0).sum(1)
        return (sums + SumExp.of(logits, axis=1), own), None

    nothing = _varying((SumExp.nothing(count), jnp.zeros(count)), like=(hidden, unembedding))
    (sums, own), _ = lax.scan(piece, nothing, _firsts(unembedding, chunk))
    peak = axes.tensor_max(sums.peak)
    total = axes.total(sums.total * jnp.exp(sums.peak - peak))
    return (axes.total(own) - peak) - jnp.log(total), (hidden, labels, unembedding, peak, total)


def _backward(chunk: int, axes: Axes, residuals: Any, cotangent: jax.Array) -> tuple[jax.Array, None, jax.Array]:
    hidden, labels, unembedding, peak, total = residuals
    of_all, of_own = (cotangent / total)[:, None], cotangent[:, None]

    def piece(gradients: tuple[jax.Array, jax.Array], first: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
        of_hidden, of_table = gradients
        part, columns = _columns(unembedding, first, chunk)
        own = jnp.where(_is(labels, columns), of_own, 0)
        of_logits = (own - of_all * jnp.exp(_product(hidden, part) - peak[:, None])).astype(hidden.dtype)
        of_part = _product(hidden.T, of_logits).astype(of_table.dtype)
        of_table = lax.dynamic_update_slice_in_dim(of_table, of_part, columns[0], axis=1)
        return (of_hidden + _product(jnp.where(columns >= first, of_logits, 0), part.T), of_table), None

    nothing = _varying((jnp.zeros(hidden.shape), jnp.zeros(unembedding.shape, unembedding.dtype)), like=(hidden, unembedding))
    (of_hidden, of_table), _ = lax.scan(piece, nothing, _firsts(unembedding, chunk))
    return axes.total(of_hidden.astype(hidden.dtype)), None, of_table


_in_pieces.defvjp(_forward, _backward)


def _firsts(unembedding: jax.Array, chunk: int) -> jax.Array:
    """The first column of each piece."""
    return jnp.arange(0, unembedding.shape[1], chunk)


def _columns(unembedding: jax.Array, first: jax.Array, chunk: int) -> tuple[jax.Array, jax.Array]:
    """f[D, chunk], and which columns those are, i32[chunk]. A last piece that would go beyond the end begins before `first`."""
    start = jnp.minimum(first, unembedding.shape[1] - chunk)
    return lax.dynamic_slice_in_dim(unembedding, start, chunk, axis=1), start + jnp.arange(chunk)


def _own(labels: jax.Array, unembedding: jax.Array, axes: Axes) -> jax.Array:
    """Labels as columns of this device's part of the vocabulary; those of others are none of its columns."""
    return labels - axes.tensor_index() * unembedding.shape[1]


def _is(labels: jax.Array, columns: jax.Array) -> jax.Array:
    return labels[:, None] == columns[None]


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    """f[n, k] @ f[k, m] -> f32[n, m]. Products of bfloat16 are exact in one pass; float32 ones take HIGHEST, as everywhere in a loss."""
    precision = lax.Precision.HIGHEST if a.dtype == jnp.float32 else None
    return jnp.matmul(a, b, precision=precision, preferred_element_type=jnp.float32)


def _varying(tree: Any, *, like: tuple[jax.Array, ...]) -> Any:
    """What a scan begins with, as different between devices as what it will add."""
    axes = tuple(sorted({axis for x in like for axis in jax.typeof(x).manual_axis_type.varying}))
    return jax.tree.map(lambda x: lax.pcast(x, axes, to="varying"), tree) if axes else tree
