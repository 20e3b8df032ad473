"""How a parameter is born: its shape, its layout on the mesh, and its initial distribution."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from ...sharding.layouts import layouts_of

Module = TypeVar("Module", bound=nnx.Module)
Initializer = Callable[[jax.Array, tuple[int, ...]], jax.Array]

# A layout is a note on the parameter, read by sharding/layouts.py, and never an action of nnx.
nnx.use_eager_sharding(False)


def parameter(
    init: Initializer,
    shape: tuple[int, ...],
    *layout: str | tuple[str, ...] | None,
    bounds: tuple[float, float] | None = None,
    rngs: nnx.Rngs,
) -> nnx.Param:
    """A float32 parameter. layout: mesh axes or None for each dimension (none at all: replicated).

    bounds: the lowest and the highest value, to which the training step clamps it.
    """
    return nnx.Param(init(rngs.params(), shape), out_sharding=layout or (None,) * len(shape), bounds=bounds)


def bounds_of(state: nnx.State) -> dict[str, tuple[float, float]]:
    """Dotted name -> bounds, of the parameters that have them."""
    noted = {".".join(map(str, path)): variable.get_metadata("bounds") for path, variable in nnx.to_flat_state(state)}
    return {name: bounds for name, bounds in noted.items() if bounds is not None}


def normal(std: float) -> Initializer:
    """N(0, std^2)."""
    return lambda key, shape: std * jax.random.normal(key, shape)


def uniform(bound: float) -> Initializer:
    """U(-bound, bound)."""
    return lambda key, shape: jax.random.uniform(key, shape, minval=-bound, maxval=bound)


def zeros(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """All zeros."""
    return jnp.zeros(shape)


def ones(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """All ones."""
    return jnp.ones(shape)


def constant(value: float) -> Initializer:
    """All `value`."""
    return lambda key, shape: jnp.full(shape, value, jnp.float32)


def xavier(fan_in: int, fan_out: int) -> Initializer:
    """Glorot and Bengio (2010), eq. 16."""
    return uniform(math.sqrt(6 / (fan_in + fan_out)))


@dataclasses.dataclass(frozen=True)
class BlockInit:
    """Initial distributions of a transformer block."""

    qkv: Initializer
    out: Initializer
    up: Initializer
    up_bias: Initializer
    down: Initializer
    down_bias: Initializer


def block_init(preset: str, *, width: int, mlp_dim: int, depth: int) -> BlockInit:
    """The block of a released code base.

    clip_image: OpenAI's vision transformer as torch builds it: xavier for the fused qkv, U(+-1/sqrt(fan in)) for the other matrices and
        the MLP's biases.
    clip_text: OpenAI's CLIP, `initialize_parameters`: N(0, 1/D) in, N(0, 1/(2 L D)) out of the residual branch, N(0, 1/(2 D)) up.
    big_vision: xavier everywhere, MLP biases N(0, 1e-12).
    """
    if preset == "clip_image":
        into, hidden = uniform(width**-0.5), uniform(mlp_dim**-0.5)
        return BlockInit(qkv=xavier(width, 3 * width), out=into, up=into, up_bias=into, down=hidden, down_bias=hidden)
    if preset == "clip_text":
        out = normal((width * 2 * depth) ** -0.5)
        into, hidden = uniform(width**-0.5), uniform(mlp_dim**-0.5)
        return BlockInit(qkv=normal(width**-0.5), out=out, up=normal((2 * width) ** -0.5), up_bias=into, down=out, down_bias=hidden)
    square, mlp, tiny = xavier(width, width), xavier(width, mlp_dim), normal(1e-6)
    return BlockInit(qkv=square, out=square, up=mlp, up_bias=tiny, down=mlp, down_bias=tiny)


def gathered(module: Module, *, axes: Axes, dtype: jnp.dtype) -> Module:
    """The module with its matrices in `dtype` and whole over fsdp, for use here and now."""
    graph, state = nnx.split(module)
    return nnx.merge(graph, axes.whole(nnx.as_pure(state), layouts_of(state), dtype=dtype))


def gathered_weight(weight: nnx.Param, *, axes: Axes, dtype: jnp.dtype) -> jax.Array:
    """One matrix in `dtype`, whole over fsdp."""
    return axes.whole(weight[...], jax.P(*weight.get_metadata("out_sharding")), dtype=dtype)
