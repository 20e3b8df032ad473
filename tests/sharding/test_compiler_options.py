"""The table of compiler options, and who gets what of it."""

import dataclasses

import jax
import numpy as np
import pytest

from diptych.sharding.compiler_options import OPTIONS, SLICES, compiler_options
from diptych.sharding.hardware import HARDWARE
from diptych.sharding.mesh import abstract_mesh, make_mesh
from diptych.sharding.spec import AXES, MeshSpec


@dataclasses.dataclass(frozen=True)
class Device:
    id: int
    device_kind: str
    slice_index: int = 0
    process_index: int = 0
    platform: str = "tpu"


def mesh_of(kind, *, slices=1, platform="tpu"):
    devices = [Device(id=n, device_kind=kind, slice_index=n % slices, platform=platform) for n in range(4)]
    return jax.sharding.Mesh(np.array(devices).reshape(4, 1, 1), AXES)


def test_every_entry_is_of_known_hardware():
    names = {hardware.name for hardware in HARDWARE.values()}
    assert OPTIONS.keys() <= names
    assert all(option.startswith("xla_") for options in (*OPTIONS.values(), SLICES) for option in options)


@pytest.mark.parametrize("kind", HARDWARE)
def test_hardware_gets_its_own(kind):
    hardware = HARDWARE[kind]
    assert compiler_options(mesh_of(kind, platform=hardware.platform)) == dict(OPTIONS.get(hardware.name, {}))


def test_several_slices_get_more():
    assert compiler_options(mesh_of("TPU v5 lite", slices=2)).items() >= SLICES.items()


def test_what_is_not_known_gets_none():
    assert compiler_options(make_mesh(MeshSpec(replica=1, fsdp=1, tensor=1))) == {}
    assert compiler_options(abstract_mesh(replica=2, fsdp=2, tensor=1)) == {}
