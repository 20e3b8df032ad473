"""The real training step, traced and lowered without arrays: for contract tests and the planner."""

from __future__ import annotations

import jax

from ..sharding.axes import AnyMesh
from .checkpoint import targets
from .learner import make_learner
from .optimizer import make_optimizer
from .spec import Recipe
from .state import state_layouts, state_shapes
from .step import batch_shapes, make_step


def trace_step(recipe: Recipe, mesh: AnyMesh) -> jax.stages.Traced:
    """The donated, jitted step of a recipe on `mesh`, which may be abstract; its arguments are (state, batch). Needs no file."""
    learner = make_learner(recipe, mesh)
    optimizer = make_optimizer(recipe.optimizer, steps=recipe.train.steps)
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        state = targets(state_shapes(learner, optimizer), state_layouts(learner, optimizer), mesh)
        return jax.jit(make_step(learner, optimizer), donate_argnums=0).trace(state, batch_shapes(recipe, mesh))


def lower_step(recipe: Recipe, mesh: AnyMesh, *, platform: str) -> jax.stages.Lowered:
    """`trace_step`, lowered for `tpu`, `cuda` or `cpu`."""
    traced = trace_step(recipe, mesh)
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        return traced.lower(lowering_platforms=(platform,))
