"""Meshes: from the sizes in a recipe to a `jax.sharding.Mesh` over devices, those at hand or those of a topology that is not there."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import numpy as np
from jax.experimental import mesh_utils

from ..errors import UserError
from .spec import AXES, MeshSpec


def make_mesh(sizes: MeshSpec) -> jax.sharding.Mesh:
    """A mesh (replica, fsdp, tensor) over the first replica x fsdp x tensor of jax's devices; `sizes` are resolved (no -1).

    Raises UserError where there are several processes and devices are left out: a process without a part in the mesh cannot go along.
    """
    count = sizes.replica * sizes.fsdp * sizes.tensor
    if jax.process_count() > 1 and count != jax.device_count():
        raise UserError(
            f"mesh.replica x mesh.fsdp x mesh.tensor = {count}, and the {jax.process_count()} processes have {jax.device_count()} devices; "
            f"accepted is a mesh of all {jax.device_count()}"
        )
    return mesh_over(sizes, jax.devices()[:count])


def mesh_over(sizes: MeshSpec, devices: Sequence[jax.Device]) -> jax.sharding.Mesh:
    """A mesh (replica, fsdp, tensor) over all of `devices`, whose order does not matter; `sizes` are resolved (no -1).

    Replicas lie on different slices or nodes first, so that what fsdp and tensor move stays on ICI or NVLink; inside of those the order
    follows the wires. Axis types are Explicit: a layout is part of an array's type, and a contraction that would need an unsaid collective
    is an error. Raises UserError where the slices or nodes cannot be shared out.
    """
    shape = (sizes.replica, sizes.fsdp, sizes.tensor)
    return jax.sharding.Mesh(arranged(shape, devices), AXES, axis_types=(jax.sharding.AxisType.Explicit,) * 3)


def granules(devices: Sequence[jax.Device]) -> tuple[str, int]:
    """What the devices come in, joined by a slower network, and how many of it: the attribute that tells them apart, and its values.

    TPU slices have a `slice_index` (one slice alone that is only compiled for has none). So have GPU nodes in a running job; in a topology
    that is only compiled for they have the same one, and each node is a process.
    """
    slices = {getattr(device, "slice_index", 0) for device in devices}
    if len(slices) > 1:
        return "slice_index", len(slices)
    gpu_nodes = {device.process_index for device in devices} if devices[0].platform in ("gpu", "cuda") else {0}
    return "process_index", len(gpu_nodes)


def over_network(shape: tuple[int, int, int], count: int) -> tuple[int, int, int]:
    """How many of each axis lie on different ones of `count` slices or nodes: as many replicas as there can be, then fsdp, then tensor."""
    outer, left = [], count
    for size in shape:
        outer.append(math.gcd(size, left))
        left //= outer[-1]
    if left > 1:
        raise UserError(
            f"mesh.replica x mesh.fsdp x mesh.tensor = {' x '.join(map(str, shape))} cannot be shared out to {count} slices or nodes; "
            f"accepted is mesh.replica = a multiple of {count}"
        )
    return outer[0], outer[1], outer[2]


def arranged(shape: tuple[int, int, int], devices: Sequence[jax.Device]) -> np.ndarray:
    """The devices as an array [replica, fsdp, tensor], object; see `mesh_over`."""
    attribute, count = granules(devices)
    if count == 1:
        return mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    outer = over_network(shape, count)
    inner = tuple(size // across for size, across in zip(shape, outer))
    return mesh_utils.create_hybrid_device_mesh(
        inner, outer, devices, process_is_granule=attribute == "process_index", allow_split_physical_axes=True
    )


def abstract_mesh(*, replica: int, fsdp: int, tensor: int) -> jax.sharding.AbstractMesh:
    """The same mesh without devices, for tracing and lowering at any scale."""
    return jax.sharding.AbstractMesh((replica, fsdp, tensor), AXES, (jax.sharding.AxisType.Explicit,) * 3)
