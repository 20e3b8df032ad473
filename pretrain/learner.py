"""The learner: model and objective as one module, taken apart once into a graph and plain arrays."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from ..sharding.axes import AnyMesh, Axes, mesh_axes
from ..sharding.layouts import batch_layout, check_layouts, fit_layouts, layouts_of, on_mesh, path_name
from .frozen import trained
from .models.blocks import Compute
from .models.dual_encoder import DualEncoder, build_model
from .models.parameters import bounds_of
from .models.teacher import PREFIX, Teacher
from .objectives.objective import Objective
from .objectives.term import TermOutput
from .randomness import Randomness, seed_key, step_randomness
from .spec import ModelSpec, Recipe
from .teacher import joined, of_teacher
from .teacher_files import teacher_of

P = jax.P
DENSE = Axes()
Batch = Mapping[str, jax.Array]


class LearnerModule(nnx.Module):
    """What has parameters: the model, the objective's terms, and the teacher of a term that learns from one."""

    def __init__(self, recipe: Recipe, *, teacher: ModelSpec | None, compute: Compute, rngs: nnx.Rngs):
        size = recipe.data.image_size
        self.model = build_model(recipe.model, image_size=size, compute=compute, rngs=rngs)
        self.objective = Objective(recipe.objective, model=recipe.model, rngs=rngs)
        self.teacher = None if teacher is None else Teacher(teacher, image_size=size, compute=compute, rngs=rngs)

    def outputs(self, batch: Batch, *, needs: frozenset[str], axes: Axes, random: Randomness | None) -> dict[str, jax.Array]:
        """The named outputs of the model, and of the teacher, that are needed. random: None in an evaluation."""
        taught = frozenset(need for need in needs if need.startswith(PREFIX))
        outputs = self.model(batch, needs=needs - taught, axes=axes, random=random)
        return outputs if self.teacher is None else outputs | self.teacher(batch, needs=taught, axes=axes)


@dataclasses.dataclass(frozen=True)
class Learner:
    """A recipe's model and objective as pure functions of a tree of arrays, on one mesh.

    graph: the structure. shapes: the parameters as ShapeDtypeStruct. layouts: the tree of `P`. bounds: dotted name -> (lowest, highest) of
    the parameters that are clamped: where they are given at the start, and by each step.
    trained: a tree of bool, false where `optimizer.freeze` says so, and for the teacher's.
    teacher: what it is, where a term learns from one.
    """

    graph: nnx.GraphDef
    shapes: Any
    layouts: Any
    bounds: Mapping[str, tuple[float, float]]
    trained: Any
    recipe: Recipe
    compute: Compute
    mesh: AnyMesh
    teacher: ModelSpec | None = None

    def init(self) -> Any:
        """Fresh parameters from the recipe's seed, the same on every mesh up to rounding; to be called under jit, layouts as output.

        A teacher's are zeros: `load_teacher` has them.
        """
        module = LearnerModule(self.recipe, teacher=self.teacher, compute=self.compute, rngs=nnx.Rngs(seed_key(self.recipe.seed)))
        params = nnx.as_pure(nnx.state(module))
        return joined(params, jax.tree.map(jnp.zeros_like, of_teacher(params)))

    def clamped(self, params: Any) -> Any:
        """Parameters, all or some of them, within their bounds."""

        def clamp(path: tuple[Any, ...], parameter: jax.Array) -> jax.Array:
            bounds = self.bounds.get(path_name(path))
            return parameter if bounds is None else jnp.clip(parameter, *bounds)

        return jax.tree.map_with_path(clamp, params)

    def dense_loss(
        self, params: Any, batch: Batch, step: jax.Array | None = None, *, axes: Axes = DENSE
    ) -> tuple[jax.Array, Mapping[str, jax.Array]]:
        """Loss f32[] and metrics; with the default `axes` the definition on one device.

        step: i32[], the steps done, of which the draws of this one are a function; None: an evaluation, without any.
        """
        learner = nnx.merge(self.graph, axes.vary(params))
        random = None if step is None else step_randomness(self.recipe.seed, step, batch["slot"])
        with self.compute.full_products():
            outputs = learner.outputs(batch, needs=learner.objective.needs, axes=axes, random=random)
            output: TermOutput = learner.objective(outputs, batch, axes=axes, random=random)
        return output.loss, output.metrics

    def loss(self, params: Any, batch: Batch, step: jax.Array | None = None) -> tuple[jax.Array, Mapping[str, jax.Array]]:
        """The same over the mesh: one shard_map around towers and objective, batch rows over (replica, fsdp)."""
        local = functools.partial(self.dense_loss, axes=mesh_axes(self.mesh))
        return jax.shard_map(local, in_specs=(self.layouts, batch_layout(self.mesh), P()), out_specs=P())(params, batch, step)

    def encode_image(self, params: Any, images: jax.Array) -> jax.Array:
        """uint8[B, H, W, 3] -> float32[B, E], rows over (replica, fsdp)."""
        return self._encode(params, images, lambda model, axes: functools.partial(model.encode_image, axes=axes))

    def encode_text(self, params: Any, tokens: jax.Array) -> jax.Array:
        """i32[B, T] -> float32[B, E], rows over (replica, fsdp)."""
        return self._encode(params, tokens, lambda model, axes: functools.partial(model.encode_text, axes=axes))

    def _encode(
        self, params: Any, inputs: jax.Array, encoder: Callable[[DualEncoder, Axes], Callable[[jax.Array], jax.Array]]
    ) -> jax.Array:
        axes, rows = mesh_axes(self.mesh), batch_layout(self.mesh)

        def local(params: Any, inputs: jax.Array) -> jax.Array:
            with self.compute.full_products():
                return encoder(nnx.merge(self.graph, params).model, axes)(inputs)

        return jax.shard_map(local, in_specs=(self.layouts, rows), out_specs=rows)(params, inputs)


def make_learner(recipe: Recipe, mesh: AnyMesh) -> Learner:
    """Builds structure, shapes and layouts without any array; raises UserError where the mesh does not divide a parameter.

    So it does where the objective's settings contradict each other, and where the teacher that a term learns from, of whose folder it reads
    the config, does not go with the recipe.
    """
    compute = Compute(
        dtype=jnp.dtype(recipe.train.dtype),
        remat=recipe.train.remat,
        scan_unroll=recipe.train.scan_unroll,
        in_turn=not recipe.optimizer.freeze,
    )
    teacher = teacher_of(recipe, tensor=mesh.shape["tensor"])
    module = nnx.eval_shape(lambda: LearnerModule(recipe, teacher=teacher, compute=compute, rngs=nnx.Rngs(0)))
    fit_layouts(module, mesh.shape)
    graph, state = nnx.split(module)
    shapes, layouts = nnx.as_pure(state), on_mesh(layouts_of(state), mesh)
    check_layouts(shapes, layouts, mesh.shape)
    return Learner(
        graph=graph,
        shapes=shapes,
        layouts=layouts,
        bounds=bounds_of(state),
        trained=trained(shapes, recipe.optimizer.freeze),
        recipe=recipe,
        compute=compute,
        mesh=mesh,
        teacher=teacher,
    )
