"""What must hold between a recipe and the devices, judged from their number alone. No jax."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator

from ..errors import UserError
from ..sharding.presets import filled_mesh, filled_remat
from ..sharding.spec import AXES, MeshSpec
from .spec import Recipe


def check_devices(recipe: Recipe, *, device_count: int, device_kind: str | None = None) -> MeshSpec:
    """The sizes of the mesh over `device_count` devices, without -1. device_kind: of `jax.Device`, for the preset of an open mesh.

    Raises UserError where the mesh does not fit the devices, or where an axis does not divide what it shards: (replica, fsdp) the batches,
    tensor the heads and the hidden units, fsdp the widths.
    """
    mesh = resolve_mesh(filled_mesh(recipe.mesh, device_count=device_count, device_kind=device_kind), device_count=device_count)
    for path, size, axes, shards in _shardings(recipe, mesh):
        if size % shards:
            raise UserError(
                f"{path} = {size} is not divisible by {axes} = {shards}; accepted is a multiple of {shards}, or {axes} that divides {size}"
            )
    return mesh


def on_devices(recipe: Recipe, *, device_count: int, device_kind: str | None) -> Recipe:
    """The recipe with what it leaves to the hardware filled in: the sizes of the mesh and `train.remat`; UserError as `check_devices`."""
    mesh = check_devices(recipe, device_count=device_count, device_kind=device_kind)
    remat = filled_remat(recipe.train.remat, device_kind=device_kind)
    return dataclasses.replace(recipe, mesh=mesh, train=dataclasses.replace(recipe.train, remat=remat))


def fitting_mesh(recipe: Recipe, *, device_count: int) -> MeshSpec:
    """The mesh over as many of `device_count` devices as divide what it shards; UserError as `check_devices` where no number does."""
    for count in range(device_count, 0, -1):
        with contextlib.suppress(UserError):
            return check_devices(recipe, device_count=count)
    return check_devices(recipe, device_count=device_count)


def resolve_mesh(mesh: MeshSpec, *, device_count: int) -> MeshSpec:
    """`mesh` with its -1 replaced by what the other axes leave of the devices."""
    sizes = {axis: getattr(mesh, axis) for axis in AXES}
    said = " x ".join(f"mesh.{axis} = {size}" for axis, size in sizes.items() if size != -1)
    fixed = math.prod(size for size in sizes.values() if size != -1)
    if fixed > device_count:
        raise UserError(f"{said} asks for {fixed} devices, but there are {device_count}; accepted is a product of at most {device_count}")
    for axis, size in sizes.items():
        if size == -1 and device_count % fixed:
            raise UserError(f"{said} does not divide the {device_count} devices; accepted is a divisor, or mesh.{axis} other than -1")
        if size == -1:
            return dataclasses.replace(mesh, **{axis: device_count // fixed})
    return mesh


def _shardings(recipe: Recipe, mesh: MeshSpec) -> Iterator[tuple[str, int, str, int]]:
    """(setting, its value, the mesh axes that shard it, their product)."""
    rows, batch = "mesh.replica x mesh.fsdp", mesh.replica * mesh.fsdp
    if (parts := recipe.train.accumulate) > 1:
        yield "train.batch_size", recipe.train.batch_size, f"{rows} x train.accumulate", batch * parts
    else:
        yield "train.batch_size", recipe.train.batch_size, rows, batch
    yield "eval.batch_size", recipe.eval.batch_size, rows, batch
    for name, task in recipe.eval.tasks.items():
        if task.kind == "loss":
            yield f"eval.tasks.{name}.negatives", task.negatives, rows, batch
    image, text, decoder = recipe.model.image, recipe.model.text, recipe.model.decoder
    heads = {"model.image.heads": image.heads, "model.text.heads": text.heads}
    hidden = {"model.image.mlp_dim": image.mlp_dim or 4 * image.width, "model.text.mlp_dim": text.mlp_dim or 4 * text.width}
    widths = {"model.image.width": image.width, "model.text.width": text.width}
    if image.pool in ("map", "attentional") and image.pool_heads is not None:
        heads["model.image.pool_heads"] = image.pool_heads
    if image.pool == "attentional":
        widths["model.embed_dim"] = recipe.model.embed_dim
    if decoder is not None:
        heads["model.decoder.heads"] = decoder.heads
        hidden["model.decoder.mlp_dim"] = decoder.mlp_dim or 4 * text.width
    for path, size in {**heads, **hidden}.items():
        yield path, size, "mesh.tensor", mesh.tensor
    for path, size in widths.items():
        yield path, size, "mesh.fsdp", mesh.fsdp
