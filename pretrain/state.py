"""The train state: what a step changes and a checkpoint holds."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from .learner import Learner

P = jax.P


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """A pytree of plain arrays. step: i32[], steps done. params: float32. opt: the optimizer's state."""

    step: jax.Array
    params: Any
    opt: Any


def initial_state(learner: Learner, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step; to be called under jit with `state_layouts` as output, or under `jax.eval_shape`."""
    params = learner.init()
    return TrainState(step=jnp.int32(0), params=params, opt=optimizer.init(params))


def state_shapes(learner: Learner, optimizer: optax.GradientTransformation) -> TrainState:
    """The state as ShapeDtypeStruct."""
    return jax.eval_shape(lambda: initial_state(learner, optimizer))


def state_layouts(learner: Learner, optimizer: optax.GradientTransformation) -> TrainState:
    """The state's tree of `P`: a moment lies as its parameter, everything else is replicated."""
    opt = optax.tree_utils.tree_map_params(
        optimizer,
        lambda _, layout: layout,
        jax.eval_shape(optimizer.init, learner.shapes),
        learner.layouts,
        transform_non_params=lambda _: P(),
    )
    return TrainState(step=P(), params=learner.layouts, opt=opt)
