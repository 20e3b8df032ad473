"""Layouts: which mesh axis shards which dimension. They are written where each parameter is born and read off it here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
from flax import nnx

from ..errors import UserError
from .axes import AnyMesh, axes_of, wide_axes
from .spec import DATA_AXES

P = jax.P

# The dimension of a stack of layers: no axis of a mesh, so that it is never sharded, and a scan can take one layer after the other.
LAYERS = "layers"


def layouts_of(state: nnx.State) -> Any:
    """A tree of `P` in the shape of `nnx.as_pure(state)`, from the `out_sharding` note on every parameter."""
    return nnx.as_pure(nnx.map_state(lambda _, v: v.replace(P(*v.get_metadata("out_sharding"))), state))


def on_mesh(layouts: Any, mesh: AnyMesh) -> Any:
    """The layouts without the axes that have one device on `mesh`: the house's one convention for them."""
    present = wide_axes(mesh)

    def entry(axes: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        kept = tuple(axis for axis in axes_of(axes) if axis in present)
        return kept[0] if len(kept) == 1 else kept or None

    return jax.tree.map(lambda layout: P(*(entry(axes) for axes in layout)), layouts, is_leaf=is_layout)


def fit_layouts(module: nnx.Module, sizes: Mapping[str, int]) -> None:
    """Notes on every parameter of a module that was just made the layout that `sizes` (mesh axis -> devices) divide: `fitted`."""
    for _, variable in nnx.to_flat_state(nnx.state(module)):
        layout = P(*variable.get_metadata("out_sharding"))
        variable.set_metadata(out_sharding=tuple(fitted(layout, variable.shape, sizes)))


def fitted(layout: P, shape: tuple[int, ...], sizes: Mapping[str, int]) -> P:
    """The layout, fsdp moved to the first other dimension that it divides where it does not divide its own.

    So400m's MLP has 4,304 = 16 x 269 hidden units: from fsdp = 32 on, `down` [4304, 1152] lies with its columns over fsdp. Where nothing
    divides, the layout stays, and `check_layouts` says so.
    """
    entries = [axes_of(entry) for entry in layout]
    home = next((dimension for dimension, axes in enumerate(entries) if "fsdp" in axes), None)

    def divides(dimension: int, axes: tuple[str, ...]) -> bool:
        return shape[dimension] % math.prod(sizes.get(axis, 1) for axis in axes) == 0

    if home is None or divides(home, entries[home]):
        return layout
    for dimension, axes in enumerate(entries):
        if dimension != home and LAYERS not in axes and divides(dimension, (*axes, "fsdp")):
            entries[home] = tuple(axis for axis in entries[home] if axis != "fsdp")
            entries[dimension] = (*axes, "fsdp")
            return P(*(axes if len(axes) > 1 else axes[0] if axes else None for axes in entries))
    return layout


def batch_layout(mesh: AnyMesh) -> P:
    """How the leading dimension of a batch lies: over replica and fsdp."""
    return on_mesh(P(DATA_AXES), mesh)


def layer_layouts(stack: nnx.State) -> Any:
    """Layouts of one layer of a stack: without the leading layer axis."""
    return jax.tree.map(lambda layout: P(*layout[1:]), layouts_of(stack), is_leaf=is_layout)


def is_layout(x: Any) -> bool:
    """Whether `x` is a layout: for `jax.tree.map(..., is_leaf=is_layout)`."""
    return isinstance(x, P)


def places(layouts: Any, mesh: AnyMesh) -> Any:
    """Where the arrays of a tree of layouts lie: the same tree of `jax.NamedSharding`."""
    return jax.tree.map(lambda layout: jax.NamedSharding(mesh, layout), layouts, is_leaf=is_layout)


def path_name(path: tuple[Any, ...]) -> str:
    """`model.image.blocks.attention.qkv` for a path of `jax.tree.leaves_with_path`."""
    return ".".join(str(getattr(part, "key", getattr(part, "name", getattr(part, "idx", part)))) for part in path)


def named_leaves(tree: Any, **kwargs: Any) -> dict[str, Any]:
    """The leaves of a tree by dotted name."""
    return {path_name(path): leaf for path, leaf in jax.tree.leaves_with_path(tree, **kwargs)}


def check_layouts(shapes: Any, layouts: Any, sizes: Mapping[str, int]) -> None:
    """Raises UserError where a mesh axis does not divide the dimension that it shards, before any compile.

    shapes, layouts: trees of arrays (or ShapeDtypeStruct) and of `P`, of the same structure. sizes: mesh axis -> devices.
    """
    specs = named_leaves(layouts, is_leaf=is_layout)
    for name, array in named_leaves(shapes).items():
        for dimension, entry in zip(array.shape, specs[name]):
            shards = math.prod(sizes[axis] for axis in axes_of(entry))
            if dimension % shards:
                axes = " x ".join(f"mesh.{axis}" for axis in axes_of(entry))
                raise UserError(
                    f"{axes} = {shards} does not divide a dimension of {dimension} of parameter {name} {array.shape}; "
                    f"accepted are divisors of {dimension}"
                )
