"""Devices that are not there stand in for slices and nodes: what a mesh asks of a device."""

import dataclasses

import numpy as np
import pytest

from diptych.errors import UserError
from diptych.sharding.mesh import arranged, granules, make_mesh, over_network
from diptych.sharding.spec import MeshSpec


@dataclasses.dataclass(frozen=True)
class Gpu:
    id: int
    process_index: int
    slice_index: int = 0
    platform: str = "gpu"
    device_kind: str = "NVIDIA H100 80GB HBM3"


@dataclasses.dataclass(frozen=True)
class Chip:
    id: int
    process_index: int
    slice_index: int
    coords: tuple[int, int, int]
    core_on_chip: int = 0
    platform: str = "tpu"
    device_kind: str = "TPU v5 lite"


@dataclasses.dataclass(frozen=True)
class LoneChip:
    id: int
    process_index: int
    coords: tuple[int, int, int]
    core_on_chip: int = 0
    platform: str = "tpu"
    device_kind: str = "TPU v5 lite"


def nodes(count, *, size=8):
    return [Gpu(id=node * size + place, process_index=node) for node in range(count) for place in range(size)]


def slices(count):
    """4 x 4 chips each."""
    places = [(x, y, 0) for y in range(4) for x in range(4)]
    return [Chip(16 * part + n, 4 * part + n // 4, part, coords) for part in range(count) for n, coords in enumerate(places)]


def test_gpu_nodes_hold_replicas():
    found = arranged((4, 8, 1), nodes(4)[::-1])
    assert [{device.process_index for device in row.flat} for row in found] == [{0}, {1}, {2}, {3}]


def test_fsdp_goes_over_nodes_where_there_are_fewer_replicas():
    found = arranged((2, 16, 1), nodes(4))
    assert [{device.process_index for device in row.flat} for row in found] == [{0, 1}, {2, 3}]
    assert [device.process_index for device in found[0, :, 0]] == [0] * 8 + [1] * 8


def test_one_process_a_gpu_is_told_from_one_a_node_by_the_slice():
    a_process_each = [Gpu(id=n, process_index=n, slice_index=n // 8) for n in range(16)]
    assert granules(a_process_each) == ("slice_index", 2)
    assert [{device.slice_index for device in row.flat} for row in arranged((2, 4, 2), a_process_each)] == [{0}, {1}]
    assert granules(nodes(2)) == ("process_index", 2)


def test_slices_hold_replicas():
    found = arranged((4, 8, 1), slices(2))
    assert [{device.slice_index for device in row.flat} for row in found] == [{0}, {0}, {1}, {1}]
    assert granules(slices(2)) == ("slice_index", 2)


def test_a_slice_that_is_only_compiled_for_has_no_index():
    chips = [LoneChip(chip.id, chip.process_index, chip.coords) for chip in slices(1)]
    assert granules(chips) == ("process_index", 1)
    assert arranged((2, 8, 1), chips).shape == (2, 8, 1)


def test_neighbours_on_fsdp_are_neighbours_on_the_torus():
    for row in arranged((4, 4, 1), slices(1)[::-1])[:, :, 0]:
        along = np.array([device.coords for device in row])
        assert (along.max(0) > along.min(0)).sum() == 1, "one dimension of the torus"


def test_what_cannot_be_shared_out_is_named():
    assert over_network((4, 8, 1), 4) == (4, 1, 1)
    assert over_network((1, 512, 1), 64) == (1, 64, 1)
    assert over_network((6, 4, 2), 4) == (2, 2, 1)
    with pytest.raises(
        UserError, match=r"= 1 x 8 x 1 cannot be shared out to 3 slices or nodes; accepted is mesh.replica = a multiple of 3"
    ):
        over_network((1, 8, 1), 3)


def test_one_process_may_leave_devices_out():
    assert make_mesh(MeshSpec(replica=1, fsdp=2, tensor=1)).size == 2


def test_several_processes_leave_no_device_out(monkeypatch):
    monkeypatch.setattr("jax.process_count", lambda: 2)
    assert make_mesh(MeshSpec(replica=2, fsdp=4, tensor=1)).size == 8
    with pytest.raises(
        UserError, match=r"mesh\.replica x mesh\.fsdp x mesh\.tensor = 4, and the 2 processes have 8 devices; accepted is .* all 8"
    ):
        make_mesh(MeshSpec(replica=1, fsdp=4, tensor=1))
