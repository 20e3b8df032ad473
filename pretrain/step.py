"""One training step: pure, donated, jitted over sharded arrays."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..sharding.axes import AnyMesh
from ..sharding.layouts import batch_layout, named_leaves, path_name
from .accumulate import loss_and_gradients
from .frozen import join, kept
from .learner import Batch, Learner
from .objectives.objective import by_name
from .schedule import learning_rate
from .skip import where_finite
from .spec import Recipe
from .state import TrainState

Step = Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]


def make_step(learner: Learner, optimizer: optax.GradientTransformation) -> Step:
    """`step(state, batch) -> (state, metrics)`; batch holds global arrays, metrics are f32[] on every device.

    metrics: loss and what the terms measure, learning_rate, grad_norm (before clipping; not finite: the step left the parameters alone),
    param_norm (before the update), and the objective's own parameters (logit_scale as the factor itself, not its logarithm).
    """
    recipe, optimizer = learner.recipe, where_finite(optimizer)
    rate = learning_rate(recipe.optimizer, steps=recipe.train.steps)

    def clamp(path: tuple[Any, ...], parameter: jax.Array) -> jax.Array:
        bounds = learner.bounds.get(path_name(path))
        return parameter if bounds is None else jnp.clip(parameter, *bounds)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, jax.Array]]:
        output, gradients = loss_and_gradients(learner, state.params, batch, state.step)
        still = kept(state.params, jax.tree.map(operator.not_, learner.trained))
        with jax.named_scope("optimizer"):
            updates, opt = optimizer.update(join(gradients, jax.tree.map(jnp.zeros_like, still)), state.opt, state.params)
            moved = jax.tree.map_with_path(clamp, optax.apply_updates(state.params, updates))
            params = join(still, moved)
        metrics = {
            "loss": output.loss,
            **output.metrics,
            "learning_rate": rate(state.step),
            "grad_norm": optax.tree.norm(gradients),
            "param_norm": optax.tree.norm(state.params),
            **objective_values(state.params),
        }
        return TrainState(step=state.step + 1, params=params, opt=opt), metrics

    return train_step


def objective_values(params: Any) -> dict[str, jax.Array]:
    """The objective's scalar parameters by name (`NAME/TERM` where several terms have it), scales as exp(log scale)."""
    values: dict[str, dict[str, jax.Array]] = {}
    for path, value in named_leaves(params).items():
        if path.startswith("objective.terms.") and value.ndim == 0:
            term, name = path.rsplit(".", 2)[1:]
            values.setdefault(term, {})[name] = jnp.exp(value) if name == "logit_scale" else value
    return by_name(values)


def batch_shapes(recipe: Recipe, mesh: AnyMesh) -> dict[str, jax.ShapeDtypeStruct]:
    """The global batch of a recipe as ShapeDtypeStruct on `mesh`: for tracing, lowering and planning without data."""
    rows, size, length = recipe.train.batch_size, recipe.data.image_size, recipe.model.text.context_length
    sharding = jax.NamedSharding(mesh, batch_layout(mesh))
    return {
        "image": jax.ShapeDtypeStruct((rows, size, size, 3), jnp.uint8, sharding=sharding),
        "text": jax.ShapeDtypeStruct((rows, length), jnp.int32, sharding=sharding),
        "slot": jax.ShapeDtypeStruct((rows,), jnp.int32, sharding=sharding),
    }
