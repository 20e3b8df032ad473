"""The FLOPs that a recipe's step is worth, whatever a mesh or a remat policy makes of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from ..sharding.axes import AnyMesh
from ..sharding.flops import count_flops
from .frozen import join, split
from .learner import make_learner
from .spec import Recipe
from .step import batch_shapes

STEP = jax.ShapeDtypeStruct((), jnp.int32)


def model_flops(recipe: Recipe, mesh: AnyMesh) -> int:
    """Of all devices: matrix products of the loss and its gradient, of what is trained, by the dense definition, none rematerialised.

    The mean over the sizes of `data.size_schedule`, which are drawn evenly.
    """
    recipe = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, remat="none"))
    learner = make_learner(recipe, mesh)
    trained, frozen = split(learner.shapes, learner.trained)

    def gradient(trained: Any, frozen: Any, *given: Any) -> Any:
        return jax.grad(lambda trained: learner.dense_loss(join(trained, frozen), *given), has_aux=True)(trained)

    schedule = recipe.data.size_schedule
    sizes = (schedule.sizes or schedule.seq_lens) if schedule else (None,)
    counts = [count_flops(gradient, trained, frozen, _dense(batch_shapes(recipe, mesh, size=size)), STEP) for size in sizes]
    return sum(counts) // len(counts)


def _dense(batch: Any) -> Any:
    """The batch on one device: the dense definition knows no mesh."""
    return jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), batch)
