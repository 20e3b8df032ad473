"""Adafactor as big_vision trains with it: factored second moments, no clip of the update, momentum in bfloat16."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from ...sharding.layouts import path_name
from ..spec_optimizer import AdafactorSpec
from .per_layer import layer_shape

EPSILON = 1e-30


class FactoredState(NamedTuple):
    """steps: i32[], steps done. rows, columns: means of the squared gradient over the other dimension, f[..., A, 1] and f[..., 1, B].

    whole: the squared gradient of what is not factored. None where a parameter has no such statistic. The dimension that a mean was taken
    over stays, with size 1: so the layout of a statistic can be read off its parameter's, square matrices included.
    """

    steps: jax.Array
    rows: Any
    columns: Any
    whole: Any


@dataclasses.dataclass(frozen=True)
class Moved:
    """What one parameter's step makes; no pytree, so that a tree of it can be taken apart."""

    update: jax.Array
    rows: jax.Array | None = None
    columns: jax.Array | None = None
    whole: jax.Array | None = None


def adafactor(spec: AdafactorSpec, *, dtype: str) -> optax.GradientTransformation:
    """Shazeer and Stern (2018) as modified by Zhai et al. (2022, "Scaling vision transformers", section 3.4). dtype: of the momentum."""
    return optax.chain(scale_by_factored_rms(spec), optax.ema(spec.momentum, debias=False, accumulator_dtype=jnp.dtype(dtype)))


def scale_by_factored_rms(spec: AdafactorSpec) -> optax.GradientTransformation:
    """The gradient over the root of its factored second moment (Shazeer and Stern, 2018, algorithm 4 with the decay of section 7.2).

    V_t = b_t V_{t-1} + (1 - b_t) (G_t^2 + 1e-30),  b_t = min(beta2_cap, 1 - t^-decay),  V ~ rows columns / mean(rows)

    Each layer of a stack is a matrix of its own. Matrices with a side below `min_factored`, and vectors, keep V whole.
    """

    def init(params: Any) -> FactoredState:
        def zeros(axis: int) -> Any:
            return jax.tree.map_with_path(lambda path, w: _mean_zeros(w, axis) if factored(path, w) else None, params)

        whole = jax.tree.map_with_path(lambda path, w: None if factored(path, w) else jnp.zeros_like(w), params)
        return FactoredState(steps=jnp.zeros([], jnp.int32), rows=zeros(-1), columns=zeros(-2), whole=whole)

    def factored(path: tuple[Any, ...], w: jax.Array) -> bool:
        shape = layer_shape(path_name(path), w.shape)
        return len(shape) == 2 and min(shape) >= spec.min_factored

    def update(gradients: Any, state: FactoredState, params: Any = None) -> tuple[Any, FactoredState]:
        beta = jnp.minimum(spec.beta2_cap, 1 - (state.steps + 1.0) ** -spec.decay)

        def move(gradient: jax.Array, rows: Any, columns: Any, whole: Any) -> Moved:
            square = jnp.square(gradient) + EPSILON
            if whole is not None:
                whole = beta * whole + (1 - beta) * square
                return Moved(update=gradient * jax.lax.rsqrt(whole), whole=whole)
            rows = beta * rows + (1 - beta) * square.mean(-1, keepdims=True)
            columns = beta * columns + (1 - beta) * square.mean(-2, keepdims=True)
            return Moved(
                update=gradient * jax.lax.rsqrt(rows / rows.mean(-2, keepdims=True)) * jax.lax.rsqrt(columns), rows=rows, columns=columns
            )

        moved = jax.tree.map(move, gradients, state.rows, state.columns, state.whole)
        parts = {part: jax.tree.map(lambda each, part=part: getattr(each, part), moved) for part in ("rows", "columns", "whole")}
        return jax.tree.map(lambda each: each.update, moved), FactoredState(steps=optax.safe_increment(state.steps), **parts)

    return optax.GradientTransformation(init, update)


def _mean_zeros(w: jax.Array, axis: int) -> jax.Array:
    """Zeros of the shape, and on an explicit mesh of the layout, of a mean over `axis`."""
    return jnp.zeros_like(jax.eval_shape(lambda w: w.mean(axis, keepdims=True), w))
