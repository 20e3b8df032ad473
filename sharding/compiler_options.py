"""What XLA is told for each kind of hardware: one table, passed when a step is compiled, in training as in a plan."""

from __future__ import annotations

from collections.abc import Mapping

import jax

from .axes import AnyMesh
from .hardware import find_hardware
from .mesh import granules

Options = Mapping[str, str | int | bool]

# The scheduler that starts collectives early and ends them late, with products in between. XLA's documentation has it off by default,
# NVIDIA's images of jax switch it on: it "allows XLA to move communication collectives to increase overlap with compute kernels".
GPU: Options = {"xla_gpu_enable_latency_hiding_scheduler": True}

# By `Hardware.name`. TPUs: none. What libtpu 0.0.51 does by itself was not bettered by any option tried, see docs/sharding.md.
OPTIONS: Mapping[str, Options] = {"a100-40": GPU, "a100": GPU, "h100": GPU, "h200": GPU, "b200": GPU}

# Besides those, where there are several slices of TPUs. XLA's documentation: more overlap for the all-reduces over the data-centre network
# that data parallelism needs; here the one sum of gradients over replicas.
SLICES: Options = {"xla_tpu_enable_data_parallel_all_reduce_opt": True}


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
