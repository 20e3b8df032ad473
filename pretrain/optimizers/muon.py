"""Muon: momentum whose matrices are made orthogonal, on parameters that lie in shards."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from ...sharding.axes import axes_of
from ...sharding.layouts import path_name
from ..spec_optimizer import MuonSpec
from .per_layer import is_stacked

COEFFICIENTS, ITERATIONS = (3.4445, -4.7750, 2.0315), 5


def muon(spec: MuonSpec, *, dtype: str) -> optax.GradientTransformation:
    """Jordan et al. (2024, "Muon: an optimizer for hidden layers in neural networks"): Nesterov momentum, made orthogonal layer by layer.

    Every leaf is a matrix f[A, B], or a stack f[L, A, B]. With `spec.rms` the update is `rms` sqrt(max(A, B)) times the orthogonal matrix
    (Liu et al., 2025, "Muon is scalable for LLM training", eq. 4), without it sqrt(max(1, B / A)) times. dtype: of the momentum.
    """

    def orthogonalise(path: tuple[Any, ...], x: jax.Array) -> jax.Array:
        stack = x if is_stacked(path_name(path)) else jnp.expand_dims(x, 0)
        rows, columns = x.shape[-2:]
        factor = math.sqrt(max(1.0, columns / rows)) if spec.rms is None else spec.rms * math.sqrt(max(rows, columns))
        return factor * orthogonal_layers(stack).reshape(x.shape, out_sharding=_place(x))

    momentum = optax.trace(spec.momentum, nesterov=True, accumulator_dtype=jnp.dtype(dtype))
    return optax.chain(momentum, optax.stateless(lambda updates, params: jax.tree.map_with_path(orthogonalise, updates)))


def orthogonal(x: jax.Array) -> jax.Array:
    """The nearest orthogonal matrix of f[A, B], roughly: singular values between 0.7 and 1.2 after five quintic Newton-Schulz steps."""
    a, b, c = COEFFICIENTS
    y = x.T if x.shape[0] > x.shape[1] else x
    y = y / (jnp.sqrt(jnp.square(y).sum()) + 1e-8)
    for _ in range(ITERATIONS):
        gram = y @ y.T
        y = a * y + (b * gram + c * gram @ gram) @ y
    return y.T if x.shape[0] > x.shape[1] else y


def orthogonal_layers(x: jax.Array) -> jax.Array:
    """`orthogonal` of each layer of f[L, A, B], which keeps its layout.

    A layer in n shards goes whole to one of the n devices that hold it, by an all-to-all there and one back: L / n layers (rounded up) of
    work and at most max(L, n) / n whole layers of memory on each, where gathering would repeat all of it on all n.
    """
    layout = jax.typeof(x).sharding.spec
    moves = [(axis, dimension) for dimension, entry in enumerate(layout) for axis in reversed(axes_of(entry))]
    if not moves:
        return lax.map(orthogonal, x)

    def local(x: jax.Array) -> jax.Array:
        layers, shards = x.shape[0], math.prod(lax.axis_size(axis) for axis, _ in moves)
        x = jnp.pad(x, ((0, -layers % shards), (0, 0), (0, 0)))
        for axis, dimension in moves:
            x = lax.all_to_all(x, axis, split_axis=0, concat_axis=dimension, tiled=True)
        x = lax.map(orthogonal, x)
        for axis, dimension in reversed(moves):
            x = lax.all_to_all(x, axis, split_axis=dimension, concat_axis=0, tiled=True)
        return x[:layers]

    return jax.shard_map(local, in_specs=layout, out_specs=layout)(x)


def _place(x: jax.Array) -> Any:
    """Where an array of an explicit mesh lies; None without a mesh."""
    sharding = jax.typeof(x).sharding
    return None if sharding.mesh.empty else sharding
