"""The parameters of a teacher among those of a run: never trained, never saved, read from the teacher's own folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from flax import nnx
from safetensors import safe_open

from ..sharding.layouts import path_name, places
from .export.config import WEIGHTS
from .export.scales import scale_name

if TYPE_CHECKING:
    from .learner import Learner

NAME = "teacher"


def of_teacher(params: Any) -> dict[str, Any]:
    """What of a tree of all parameters is the teacher's; nothing where there is none."""
    return {NAME: _parts(params)[NAME]} if NAME in params else {}


def without_teacher(params: Any) -> Any:
    """The other part: what is trained, or was before it was frozen."""
    return type(params)({name: part for name, part in _parts(params).items() if name != NAME}) if NAME in params else params


def joined(params: Any, teacher: Mapping[str, Any]) -> Any:
    """A tree of parameters with those of `teacher`, as `of_teacher` gives them, in the place of its own."""
    return type(params)({**_parts(params), **teacher}) if teacher else params


def with_teacher(learner: Learner, params: Any) -> Any:
    """`params` with those of the learner's teacher as its folder has them, whatever they were before."""
    return params if learner.teacher is None else joined(params, {NAME: load_teacher(learner)})


def load_teacher(learner: Learner) -> Any:
    """The teacher's parameters as global float32 arrays, laid out over the mesh; every process reads the file, one array at a time."""
    folder = learner.recipe.objective.distillation.teacher
    assert folder is not None and isinstance(learner.mesh, jax.sharding.Mesh)
    with safe_open(Path(folder) / WEIGHTS, framework="numpy") as weights:
        scale = scale_name(weights.keys())

        def leaf(path: tuple[Any, ...], shape: jax.ShapeDtypeStruct, place: jax.NamedSharding) -> jax.Array:
            name = path_name(path)
            source = scale if name == "logit_scale" else name.replace("towers.", "model.", 1)
            value = np.zeros(shape.shape, np.float32) if source is None else weights.get_tensor(source)
            return jax.make_array_from_callback(shape.shape, place, lambda index: value[index])

        shapes, layouts = (of_teacher(tree)[NAME] for tree in (learner.shapes, learner.layouts))
        return jax.tree.map_with_path(leaf, shapes, places(layouts, learner.mesh))


def _parts(params: Any) -> Mapping[str, Any]:
    """What is under each name: an `nnx.State` shows it as another State, which is not what it holds."""
    return params.raw_mapping if isinstance(params, nnx.State) else params
