"""One training step: pure, donated, jitted over sharded arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..data.row_layout import Field, row_layout
from ..sharding.axes import AnyMesh
from ..sharding.compiler_options import compiler_options
from ..sharding.layouts import batch_layout, named_leaves
from .accumulate import loss_and_gradients
from .ema import averaged, decay_at
from .frozen import join, kept, split
from .learner import Batch, Learner
from .objectives.objective import by_name
from .schedule import learning_rate
from .skip import judge, where
from .spec import Recipe
from .state import TrainState
from .step_shape import StepShape
from .teacher import without_teacher
from .views import wanted_views

WHOLE = StepShape()
Step = Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]


def make_step(learner: Learner, optimizer: optax.GradientTransformation) -> Step:
    """`step(state, batch) -> (state, metrics)`; batch holds global arrays, metrics are f32[] on every device.

    A step that `judge` leaves out changes neither parameters nor moments nor the place in the schedule: one entry of the gradient that
    overflows would else make every parameter nan by way of the clip, and the next checkpoint with it.

    metrics: loss and what the terms measure, learning_rate (that of this step's update), grad_norm (of what is trained, before clipping),
    param_norm (before the update; a teacher's do not count), skipped (steps, with this one) and skipped_in_a_row, and the objective's own
    parameters (logit_scale as the factor itself, not its logarithm).
    """
    train = learner.recipe.train
    rate = learning_rate(learner.recipe.optimizer, steps=train.steps)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, dict[str, jax.Array]]:
        output, gradients = loss_and_gradients(learner, state.params, batch, state.step)
        grad_norm, updates = optax.tree.norm(gradients), state.step - state.skips.total
        taken, skips = judge(train.skip, state.skips, grad_norm)
        with jax.named_scope("optimizer"):
            params, opt = updated(learner, optimizer, gradients, state)
            ema = state.ema
            if train.ema_decay is not None:
                ema = averaged(ema, kept(params, learner.trained), decay=decay_at(train.ema_decay, updates))
            params, opt, ema = where(taken, (params, opt, ema), (state.params, state.opt, state.ema))
        metrics = {
            "loss": output.loss,
            **output.metrics,
            "learning_rate": rate(updates),
            "grad_norm": grad_norm,
            "param_norm": optax.tree.norm(without_teacher(state.params)),
            **skips.metrics(),
            **objective_values(state.params),
        }
        return TrainState(step=state.step + 1, params=params, opt=opt, skips=skips, ema=ema), metrics

    return train_step


def jit_step(learner: Learner, optimizer: optax.GradientTransformation) -> jax.stages.Wrapped:
    """`make_step` under `jax.jit`: the state is donated, XLA gets the options of the hardware. Training and plans compile this one."""
    return jax.jit(make_step(learner, optimizer), donate_argnums=0, compiler_options=compiler_options(learner.mesh))


def updated(learner: Learner, optimizer: optax.GradientTransformation, gradients: Any, state: TrainState) -> tuple[Any, Any]:
    """Parameters and moments after the optimizer, parameters within their bounds, the frozen ones as they were."""
    trained, frozen = split(state.params, learner.trained)
    changes, opt = optimizer.update(join(gradients, jax.tree.map(jnp.zeros_like, frozen)), state.opt, state.params)
    moved = learner.clamped(optax.apply_updates(trained, kept(changes, learner.trained)))
    return join(moved, frozen), opt


def objective_values(params: Any) -> dict[str, jax.Array]:
    """The objective's scalar parameters by name (`NAME/TERM` where several terms have it), scales as exp(log scale)."""
    values: dict[str, dict[str, jax.Array]] = {}
    for path, value in named_leaves(params).items():
        if path.startswith("objective.terms.") and value.ndim == 0:
            term, name = path.rsplit(".", 2)[1:]
            values.setdefault(term, {})[name] = jnp.exp(value) if name == "logit_scale" else value
    return by_name(values)


def batch_shapes(recipe: Recipe, mesh: AnyMesh, *, shape: StepShape = WHOLE) -> dict[str, jax.ShapeDtypeStruct]:
    """The global batch of a recipe as ShapeDtypeStruct on `mesh`: for tracing, lowering and planning without data.

    shape: of a step, where schedules change it; absent: images of `data.image_size` and captions of the whole context.
    """
    row = row_layout(
        recipe.data if shape.size else dataclasses.replace(recipe.data, size_schedule=None),
        size=shape.size or recipe.data.image_size,
        text_length=shape.text_length or recipe.model.text.context_length,
        views=wanted_views(recipe) is not None,
        embed_dim=recipe.model.embed_dim,
    )
    rows, sharding = recipe.train.batch_size, jax.NamedSharding(mesh, batch_layout(mesh))
    given = {**row, "slot": Field((), np.dtype(np.int32))}
    return {name: jax.ShapeDtypeStruct((rows, *field.shape), field.dtype, sharding=sharding) for name, field in given.items()}
