"""The FLOPs that a recipe's step is worth, whatever a mesh or a remat policy makes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ..sharding.axes import AnyMesh
from ..sharding.flops import count_flops
from .frozen import join, split
from .learner import make_learner
from .spec import Recipe
from .step import batch_shapes
from .step_shape import StepShape, shapes_of_run

STEP = jax.ShapeDtypeStruct((), jnp.int32)


def model_flops(recipe: Recipe, mesh: AnyMesh) -> int:
    """Of all devices: matrix products of the loss and its gradient, of what is trained, by the dense definition, none rematerialised.

    The mean over the steps of the run, where schedules change the shapes of batches.
    """
    shares = shapes_of_run(recipe)
    return round(sum(shares[shape] * flops for shape, flops in flops_by_shape(recipe, mesh).items()))


def flops_by_shape(recipe: Recipe, mesh: AnyMesh) -> Mapping[StepShape, int]:
    """The same of a step with each of the shapes that the run has."""
    captioning = dataclasses.replace(recipe.objective.captioning, vocab_chunk=recipe.model.text.vocab_size)
    objective = dataclasses.replace(recipe.objective, captioning=captioning)
    recipe = dataclasses.replace(recipe, objective=objective, train=dataclasses.replace(recipe.train, remat="none"))
    learner = make_learner(recipe, mesh)
    trained, frozen = split(learner.shapes, learner.trained)

    def gradient(trained: Any, frozen: Any, *given: Any) -> Any:
        return jax.grad(lambda trained: learner.dense_loss(join(trained, frozen), *given), has_aux=True)(trained)

    def flops(shape: StepShape) -> int:
        return count_flops(gradient, trained, frozen, _dense(batch_shapes(recipe, mesh, shape=shape)), STEP)

    return {shape: flops(shape) for shape in shapes_of_run(recipe)}


def _dense(batch: Any) -> Any:
    """The batch on one device: the dense definition knows no mesh."""
    return jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), batch)
