"""The learner: model and objective as one module, taken apart once into a graph and plain arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from ..sharding.axes import Axes, mesh_axes
from ..sharding.layouts import layouts_of
from ..sharding.mesh import BATCH
from .models.blocks import Compute
from .models.dual_encoder import build_model
from .objectives.objective import Objective
from .objectives.term import TermOutput
from .spec import Recipe

P = jax.P


class LearnerModule(nnx.Module):
    """What has parameters: the model and the objective's terms."""

    def __init__(self, recipe: Recipe, *, compute: Compute, rngs: nnx.Rngs):
        self.model = build_model(recipe.model, image_size=recipe.data.image_size, compute=compute, rngs=rngs)
        self.objective = Objective(recipe.objective, eos_id=recipe.model.text.eos_id, rngs=rngs)


@dataclasses.dataclass(frozen=True)
class Learner:
    """A recipe's model and objective as pure functions of a tree of arrays.

    graph: the structure. shapes: the parameters as ShapeDtypeStruct. layouts: the tree of `P`.
    """

    graph: nnx.GraphDef
    shapes: Any
    layouts: Any
    recipe: Recipe
    compute: Compute

    def init(self) -> Any:
        """Fresh parameters from the recipe's seed, the same on every mesh up to rounding. To be called under jit with the layouts as output."""
        return nnx.as_pure(nnx.state(LearnerModule(self.recipe, compute=self.compute, rngs=nnx.Rngs(self.recipe.seed))))

    def dense_loss(self, params: Any, batch: Mapping[str, jax.Array], *, axes: Axes = Axes()) -> tuple[jax.Array, Mapping[str, jax.Array]]:
        """Loss f32[] and metrics; with the default `axes` the definition on one device."""
        learner = nnx.merge(self.graph, axes.vary(params))
        output: TermOutput = learner.objective(learner.model(batch, axes=axes), batch, axes=axes)
        return output.loss, output.metrics

    def loss(self, params: Any, batch: Mapping[str, jax.Array]) -> tuple[jax.Array, Mapping[str, jax.Array]]:
        """The same over the mesh in force (`jax.set_mesh`): one shard_map around towers and objective, batch rows over (replica, fsdp)."""

        def local(params: Any, batch: Mapping[str, jax.Array]) -> tuple[jax.Array, Mapping[str, jax.Array]]:
            return self.dense_loss(params, batch, axes=mesh_axes())

        return jax.shard_map(local, in_specs=(self.layouts, BATCH), out_specs=P())(params, batch)

    def encode_image(self, params: Any, images: jax.Array) -> jax.Array:
        """uint8[B, H, W, 3] -> float32[B, E], rows over (replica, fsdp)."""

        def local(params: Any, images: jax.Array) -> jax.Array:
            return nnx.merge(self.graph, params).model.encode_image(images, axes=mesh_axes())

        return jax.shard_map(local, in_specs=(self.layouts, BATCH), out_specs=BATCH)(params, images)

    def encode_text(self, params: Any, tokens: jax.Array) -> jax.Array:
        """i32[B, T] -> float32[B, E], rows over (replica, fsdp)."""

        def local(params: Any, tokens: jax.Array) -> jax.Array:
            return nnx.merge(self.graph, params).model.encode_text(tokens, axes=mesh_axes())

        return jax.shard_map(local, in_specs=(self.layouts, BATCH), out_specs=BATCH)(params, tokens)


def make_learner(recipe: Recipe) -> Learner:
    """Builds structure, shapes and layouts without any array."""
    compute = Compute(dtype=jnp.dtype(recipe.train.dtype), remat=recipe.train.remat, scan_unroll=recipe.train.scan_unroll)
    module = nnx.eval_shape(lambda: LearnerModule(recipe, compute=compute, rngs=nnx.Rngs(0)))
    graph, state = nnx.split(module)
    return Learner(graph=graph, shapes=nnx.as_pure(state), layouts=layouts_of(state), recipe=recipe, compute=compute)
