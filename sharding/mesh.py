"""Meshes: from the sizes in a recipe to a `jax.sharding.Mesh` over the devices at hand."""

from __future__ import annotations

import jax

from .spec import AXES, MeshSpec


def make_mesh(sizes: MeshSpec) -> jax.sharding.Mesh:
    """A mesh (replica, fsdp, tensor) over the first replica x fsdp x tensor devices; `sizes` are resolved (no -1).

    Axis types are Explicit: a layout is part of an array's type, and a contraction that would need an unsaid collective is an error.
    """
    shape = (sizes.replica, sizes.fsdp, sizes.tensor)
    count = sizes.replica * sizes.fsdp * sizes.tensor
    return jax.make_mesh(shape, AXES, devices=jax.devices()[:count])


def abstract_mesh(*, replica: int, fsdp: int, tensor: int) -> jax.sharding.AbstractMesh:
    """The same mesh without devices, for tracing and lowering at any scale."""
    return jax.sharding.AbstractMesh((replica, fsdp, tensor), AXES, (jax.sharding.AxisType.Explicit,) * 3)
