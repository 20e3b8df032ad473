"""Meshes: from the sizes in a recipe to a `jax.sharding.Mesh` over the devices at hand."""

from __future__ import annotations

import jax

from ..errors import UserError
from .spec import AXES, MeshSpec


def make_mesh(sizes: MeshSpec) -> jax.sharding.Mesh:
    """A mesh (replica, fsdp, tensor) over the first replica x fsdp x tensor devices; `sizes` are resolved (no -1).

    Axis types are Explicit: a layout is part of an array's type, and a contraction that would need an unsaid collective is an error.
    Raises UserError where there are several processes and devices are left out: a process without a part in the mesh cannot go along.
    """
    shape = (sizes.replica, sizes.fsdp, sizes.tensor)
    count = sizes.replica * sizes.fsdp * sizes.tensor
    if jax.process_count() > 1 and count != jax.device_count():
        raise UserError(
            f"mesh.replica x mesh.fsdp x mesh.tensor = {count}, and the {jax.process_count()} processes have {jax.device_count()} devices; "
            f"accepted is a mesh of all {jax.device_count()}"
        )
    return jax.make_mesh(shape, AXES, devices=jax.devices()[:count])


def abstract_mesh(*, replica: int, fsdp: int, tensor: int) -> jax.sharding.AbstractMesh:
    """The same mesh without devices, for tracing and lowering at any scale."""
    return jax.sharding.AbstractMesh((replica, fsdp, tensor), AXES, (jax.sharding.AxisType.Explicit,) * 3)
