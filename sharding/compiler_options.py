"""What XLA is told for each kind of hardware: one table, passed when a step is compiled, in training as in a plan."""

from __future__ import annotations

from collections.abc import Mapping

import jax

from .axes import AnyMesh
from .hardware import find_hardware
from .mesh import granules

Options = Mapping[str, str | int | bool]

# By `Hardware.name`.
OPTIONS: Mapping[str, Options] = {}

# Besides those, where there are several slices of TPUs.
SLICES: Options = {}


def compiler_options(mesh: AnyMesh) -> dict[str, str | int | bool]:
    """Those of the devices of `mesh`; none for hardware that the table does not have (a CPU), and for an abstract mesh."""
    if not isinstance(mesh, jax.sharding.Mesh):
        return {}
    devices = mesh.devices.flatten().tolist()
    hardware = find_hardware(devices[0].device_kind)
    if hardware is None:
        return {}
    several = hardware.platform == "tpu" and granules(devices)[1] > 1
    return {**OPTIONS.get(hardware.name, {}), **(SLICES if several else {})}
