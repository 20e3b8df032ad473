"""How a recipe that leaves it open is laid out on named hardware: one table, of which the first match counts."""

from __future__ import annotations

import dataclasses
import math

from .hardware import find_hardware
from .spec import MeshSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """hardware: `Hardware.name`. fsdp: as far as it divides the devices; what it leaves are replicas. remat: as in `train.remat`."""

    hardware: str
    fsdp: int
    remat: str


# fsdp: what moves over it is the weights, twice a step, whatever its size; what is left of it is the state, 12 bytes a parameter. 64 keeps
# 2.1 billion parameters (CoCa) under 0.4 GiB and divides the widths of all recipes (1,152 = 64 x 18: 256 does not). GPUs: a node, so that
# weights stay on NVLink and one sum of shards a step goes over InfiniBand: 8 keep 0.88 billion (So400m) at 1.3 GiB.
# remat: `dots` where it leaves room at 128 images of 224 pixels a device, by arithmetic, else `full`. No device measured it; ahead of time
# (libtpu 0.0.51) So400m at batch 32,768 needs 3.58 GiB of v5e:16x16's 15.75 with `full`. `diptych plan --search speed` tries both.
PRESETS = (
    Preset(hardware="v5e", fsdp=64, remat="full"),
    Preset(hardware="v4", fsdp=64, remat="full"),
    Preset(hardware="v6e", fsdp=64, remat="full"),
    Preset(hardware="v5p", fsdp=64, remat="dots"),
    Preset(hardware="7x", fsdp=64, remat="dots"),
    Preset(hardware="a100-40", fsdp=8, remat="full"),
    Preset(hardware="a100", fsdp=8, remat="dots"),
    Preset(hardware="h100", fsdp=8, remat="dots"),
    Preset(hardware="h200", fsdp=8, remat="dots"),
    Preset(hardware="b200", fsdp=8, remat="dots"),
)


def find_preset(device_kind: str | None) -> Preset | None:
    """The first preset for a `jax.Device.device_kind`; None where the hardware is unknown (a CPU)."""
    hardware = find_hardware(device_kind) if device_kind else None
    if hardware is None:
        return None
    return next((preset for preset in PRESETS if preset.hardware == hardware.name), None)


def is_open(mesh: MeshSpec) -> bool:
    """Whether a mesh leaves replica and fsdp both open (-1), to the preset of the hardware."""
    return mesh.replica == mesh.fsdp == -1


def filled_mesh(mesh: MeshSpec, *, device_count: int, device_kind: str | None) -> MeshSpec:
    """An open mesh with fsdp (and tensor, where that is -1 too: 1) as the hardware's preset says; replica stays -1, for what they leave.

    Where the hardware is unknown all devices shard the parameters. A mesh that is not open is returned as it is.
    """
    if not is_open(mesh):
        return mesh
    tensor = 1 if mesh.tensor == -1 else mesh.tensor
    share = max(device_count // tensor, 1)
    preset = find_preset(device_kind)
    return MeshSpec(replica=-1, fsdp=share if preset is None else math.gcd(preset.fsdp, share), tensor=tensor)


def filled_remat(remat: str, *, device_kind: str | None) -> str:
    """`auto` as the hardware's preset says, `full` where the hardware is unknown; any other policy as it is."""
    if remat != "auto":
        return remat
    preset = find_preset(device_kind)
    return "full" if preset is None else preset.remat
