"""Statistics of a whole tensor, taken for each layer of a stack: stacked or not, a model trains alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import optax

from ...sharding.layouts import path_name


def is_stacked(name: str) -> bool:
    """Whether the leading axis of the parameter of this dotted name counts layers."""
    return ".layers." in name


def layer_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the parameter in one layer."""
    return shape[1:] if is_stacked(name) else shape


def map_layers(function: Callable[..., jax.Array], *trees: Any) -> Any:
    """`function` of the leaves of `trees` at the same path, for each layer of a stack alone."""

    def one(path: tuple[Any, ...], *leaves: jax.Array) -> jax.Array:
        return (jax.vmap(function) if is_stacked(path_name(path)) else function)(*leaves)

    return jax.tree.map_with_path(one, *trees)


def each_layer(transformation: optax.GradientTransformation) -> optax.GradientTransformation:
    """`transformation`, which has no state and looks at one tensor at a time, on each layer alone."""

    def one(update: jax.Array, param: jax.Array) -> jax.Array:
        return transformation.update(update, transformation.init(param), param)[0]

    return optax.stateless(lambda updates, params: map_layers(one, updates, params))
