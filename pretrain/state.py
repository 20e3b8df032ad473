"""The train state: what a step changes and a checkpoint holds."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..sharding.layouts import is_layout, named_leaves, path_name
from .frozen import join, kept
from .learner import Learner
from .skip import Skips, no_skips

P = jax.P


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """A pytree of plain arrays. step: i32[], steps done. params: float32. opt: the optimizer's state. skips: which steps were left out.

    ema: float32, the moving average of the trained parameters, None at the frozen ones; None where the recipe has no `train.ema_decay`.
    """

    step: jax.Array
    params: Any
    opt: Any
    skips: Skips
    ema: Any


def initial_state(learner: Learner, optimizer: optax.GradientTransformation, given: Any = None) -> TrainState:
    """The state before the first step; to be called under jit with `state_layouts` as output, or under `jax.eval_shape`.

    given: parameters that are not fresh, None at the others (`init_weights`), which are clamped to their bounds; None: all are fresh.
    """
    params = learner.init() if given is None else join(learner.clamped(given), learner.init())
    ema = None if learner.recipe.train.ema_decay is None else kept(params, learner.trained)
    return TrainState(step=jnp.int32(0), params=params, opt=optimizer.init(params), skips=no_skips(), ema=ema)


def state_shapes(learner: Learner, optimizer: optax.GradientTransformation) -> TrainState:
    """The state as ShapeDtypeStruct."""
    return jax.eval_shape(lambda: initial_state(learner, optimizer))


def state_layouts(learner: Learner, optimizer: optax.GradientTransformation) -> TrainState:
    """The state's tree of `P`: a moment, found by the end of its path, lies as its parameter; everything else is replicated.

    A mean over dimensions that stay with size 1 (`optimizers/adafactor.py`) lies as its parameter in the others.
    """
    shapes, layouts = named_leaves(learner.shapes), named_leaves(learner.layouts, is_leaf=is_layout)

    def layout(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> P:
        parts = path_name(path).split(".")
        endings = (".".join(parts[start:]) for start in range(len(parts)))
        parameter = next((name for name in endings if name in shapes), None)
        return moment_layout(leaf.shape, shapes[parameter].shape, layouts[parameter]) if parameter else P()

    opt = jax.tree.map_with_path(layout, jax.eval_shape(optimizer.init, learner.shapes))
    skips = jax.tree.map(lambda _: P(), jax.eval_shape(no_skips))
    ema = None if learner.recipe.train.ema_decay is None else kept(learner.layouts, learner.trained)
    return TrainState(step=P(), params=learner.layouts, opt=opt, skips=skips, ema=ema)  # type: ignore[arg-type]


def moment_layout(moment: tuple[int, ...], parameter: tuple[int, ...], layout: P) -> P:
    """The layout of a moment with the shape of its parameter, but for dimensions of size 1; any other shape is replicated."""
    if len(moment) != len(parameter) or any(size not in (1, whole) for size, whole in zip(moment, parameter)):
        return P()
    return P(*(entry if size == whole else None for size, whole, entry in zip(moment, parameter, layout)))
