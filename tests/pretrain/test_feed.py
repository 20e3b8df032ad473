import numpy as np
import pytest

from diptych.pretrain.feed import local_slots
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec


def test_one_process_feeds_every_slot():
    assert np.array_equal(local_slots(make_mesh(MeshSpec(replica=2, fsdp=2, tensor=2)), 16), np.arange(16))


class HalfOfTheDevices:
    """A sharding of which this process has the devices of every second part."""

    def __init__(self, mesh, layout):
        pass

    def addressable_devices_indices_map(self, shape):
        size = shape[0] // 4
        return {f"{part}, tensor {tensor}": (slice(part * size, (part + 1) * size),) for part in (2, 0) for tensor in (0, 1)}


@pytest.mark.parametrize("batch", [8, 16])
def test_a_process_feeds_what_its_devices_hold_once_and_sorted(monkeypatch, batch):
    monkeypatch.setattr("jax.NamedSharding", HalfOfTheDevices)
    part = batch // 4
    wanted = [*range(part), *range(2 * part, 3 * part)]
    assert local_slots(make_mesh(MeshSpec(replica=2, fsdp=2, tensor=2)), batch).tolist() == wanted
