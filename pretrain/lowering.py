"""The real training step, traced and lowered without arrays: for contract tests and the planner."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from ..sharding.axes import AnyMesh, mesh_axes
from ..sharding.compiler_options import compiler_options
from ..sharding.layouts import batch_layout
from .checkpoint import targets
from .learner import make_learner
from .optimizer import make_optimizer
from .randomness import step_randomness
from .spec import Recipe
from .state import state_layouts, state_shapes
from .step import WHOLE, batch_shapes, jit_step
from .step_shape import StepShape

P = jax.P


def trace_step(recipe: Recipe, mesh: AnyMesh, *, shape: StepShape = WHOLE) -> jax.stages.Traced:
    """The donated, jitted step of a recipe on `mesh`, which may be abstract; its arguments are (state, batch). Needs no file.

    shape: as in `batch_shapes`.
    """
    learner = make_learner(recipe, mesh)
    optimizer = make_optimizer(recipe.optimizer, steps=recipe.train.steps)
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        state = targets(state_shapes(learner, optimizer), state_layouts(learner, optimizer), mesh)
        return jit_step(learner, optimizer).trace(state, batch_shapes(recipe, mesh, shape=shape))


def lower_step(recipe: Recipe, mesh: AnyMesh, *, platform: str) -> jax.stages.Lowered:
    """`trace_step`, lowered for `tpu`, `cuda` or `cpu`."""
    traced = trace_step(recipe, mesh)
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        return traced.lower(lowering_platforms=(platform,))


def trace_towers(recipe: Recipe, mesh: AnyMesh, *, shape: StepShape = WHOLE) -> jax.stages.Traced:
    """The gradient of what the objective needs, without the objective and the optimizer: what the towers alone take of a device.

    Its arguments are (parameters, batch). shape: as in `batch_shapes`.
    """
    learner = make_learner(recipe, mesh)

    def local(params: Any, batch: Any) -> jax.Array:
        axes = mesh_axes(mesh)
        module = nnx.merge(learner.graph, axes.vary(params))
        random = step_randomness(recipe.seed, jnp.int32(0), batch["slot"])  # towers may read less in training
        outputs = module.outputs(batch, needs=module.objective.needs, axes=axes, random=random)
        return axes.sum(sum((leaf.astype(jnp.float32).mean() for leaf in jax.tree.leaves(outputs)), jnp.float32(0)))

    def total(params: Any, batch: Any) -> jax.Array:
        return jax.shard_map(local, in_specs=(learner.layouts, batch_layout(mesh)), out_specs=P())(params, batch)

    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        params = targets(learner.shapes, learner.layouts, mesh)
        return jax.jit(jax.grad(total), compiler_options=compiler_options(mesh)).trace(params, batch_shapes(recipe, mesh, shape=shape))
