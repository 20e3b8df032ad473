"""The exponential moving average of the parameters, which is evaluated and exported in their place."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .frozen import join
from .spec import Recipe

AVERAGED, RAW = "ema", "raw"


def decay_at(decay: float, updates: jax.Array) -> jax.Array:
    """min(decay, (1 + t) / (10 + t)) after t = `updates` updates, i32[]: the average of a young run forgets its start sooner.

    The warm-up of TensorFlow's `ExponentialMovingAverage(decay, num_updates)`.
    """
    return jnp.minimum(decay, (1.0 + updates) / (10.0 + updates))


def averaged(ema: Any, params: Any, *, decay: jax.Array) -> Any:
    """decay x ema + (1 - decay) x params, float32."""
    return jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, ema, params)


def evaluated(recipe: Recipe) -> str:
    """`ema` or `raw`: `eval.params`; absent: the average where the run keeps one."""
    return recipe.eval.params or (RAW if recipe.train.ema_decay is None else AVERAGED)


def to_evaluate(recipe: Recipe, *, params: Any, ema: Any) -> Any:
    """The parameters that are evaluated and exported; frozen ones, of which there is no average, are what they are."""
    return join(ema, params) if evaluated(recipe) == AVERAGED else params
