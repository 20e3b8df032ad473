"""Memory of batches: used again once no array of it is left, and never before."""

import jax
import numpy as np
import pytest

from diptych.data.batch_memory import ALIGNED, BatchMemory, own_block
from diptych.data.row_layout import Field

LAYOUT = {"image": Field((5, 5, 3), np.dtype(np.uint8)), "text": Field((3,), np.dtype(np.int32)), "bad": Field((), np.dtype(np.int32))}
ROWS = 7


class Counted(BatchMemory):
    """made: bytes of the blocks that it asked for."""

    def __init__(self):
        self.made = []
        super().__init__(lambda size: self.made.append(size) or own_block(size))

    def filled(self, value, rows=ROWS):
        arrays, _ = self.batch(LAYOUT, rows)
        for array in arrays.values():
            array[...] = value
        return arrays


@pytest.fixture
def memory():
    return Counted()


def test_arrays_lie_apart_and_aligned(memory):
    arrays = memory.filled(0)
    assert {name: (array.shape, array.dtype) for name, array in arrays.items()} == {
        name: ((ROWS, *field.shape), field.dtype) for name, field in LAYOUT.items()
    }
    assert not any(array.ctypes.data % ALIGNED for array in arrays.values())
    for value, array in enumerate(arrays.values()):
        array[...] = value
    assert all((array == value).all() for value, array in enumerate(arrays.values()))


def test_memory_is_used_again_when_the_last_array_is_gone(memory):
    first = memory.filled(1)
    place, row = first["image"].ctypes.data, first["image"][3, 1:]
    del first
    second = memory.filled(2)
    assert (row == 1).all() and second["image"].ctypes.data != place and len(memory.made) == 2
    del row
    assert memory.filled(3)["image"].ctypes.data == place and len(memory.made) == 2


def test_a_block_that_is_too_small_is_left_alone(memory):
    memory.filled(1)
    memory.filled(2, rows=2 * ROWS)
    memory.filled(3)
    memory.filled(4, rows=2 * ROWS)
    assert len(memory.made) == 2 and memory.made[0] < memory.made[1]


@pytest.mark.parametrize("count", [1, 8])
def test_memory_that_a_device_reads_is_not_used_again(memory, count):
    """Arrays of a CPU device may be the host's own memory."""
    mesh = jax.make_mesh((count,), ("data",), devices=jax.devices()[:count])
    rows = jax.NamedSharding(mesh, jax.P("data"))
    placed = [jax.make_array_from_process_local_data(rows, memory.filled(value, rows=64)["image"]) for value in range(4)]
    assert [np.unique(np.asarray(array)).tolist() for array in placed] == [[0], [1], [2], [3]]
    jax.block_until_ready(placed)
    del placed
    memory.filled(9, rows=64)
    assert len(memory.made) <= 5
