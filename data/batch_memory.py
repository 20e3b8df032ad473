"""Memory of batches that is used again: a fresh page costs 8 us, so that a batch of fresh pages costs more than the copy into it."""

from __future__ import annotations

import collections
import math
import mmap
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .row_layout import Layout

ALIGNED = 64  # bytes: XLA takes arrays of a CPU device as they are where they start at such an address


class Block(NamedTuple):
    """Memory for one batch. offset: where it begins in the file that several processes map, if they do."""

    memory: mmap.mmap
    size: int
    offset: int = 0


class Lease:
    """A block, lent to the arrays made of it: numpy keeps this object as the base of them all, and it frees the block when it goes."""

    def __init__(self, block: Block, free: Callable[[Block], None]):
        self.block, self._free = block, free
        self.__array_interface__ = np.frombuffer(block.memory, np.uint8).__array_interface__

    def __del__(self) -> None:
        self._free(self.block)


class BatchMemory:
    """Blocks of memory, each used again once no array of it is left; whoever still holds one, a device too, keeps it as it is."""

    def __init__(self, new: Callable[[int], Block]):
        """new: a block of so many bytes or more."""
        self._new = new
        self._free: collections.deque[Block] = collections.deque()  # the collector may free a block amid anything: no lock can be held

    def batch(self, layout: Layout, rows: int) -> tuple[dict[str, np.ndarray], Block]:
        """The arrays of a batch of `rows` rows, and where they lie. Not to be called by two threads at once."""
        lease = self._take(_bytes_of(layout, rows))
        return arrays_in(np.asarray(lease), layout, rows), lease.block

    def _take(self, size: int) -> Lease:
        """The smallest free block of `size` bytes or more, else a new one."""
        free = [self._free.popleft() for _ in range(len(self._free))]
        fitting = [block for block in free if block.size >= size]
        chosen = min(fitting, key=lambda block: block.size) if fitting else self._new(size)
        self._free.extend(block for block in free if block is not chosen)
        return Lease(chosen, self._free.append)


def own_block(size: int) -> Block:
    """A block that only this process sees."""
    return Block(mmap.mmap(-1, size), size)


def _bytes_of(layout: Layout, rows: int) -> int:
    return max(sum(_aligned(rows * field.dtype.itemsize * math.prod(field.shape)) for field in layout.values()), 1)


def arrays_in(memory: np.ndarray, layout: Layout, rows: int) -> dict[str, np.ndarray]:
    """name -> array of `rows` rows, one after the other in `memory`, uint8[n] as long as it takes or longer."""
    found, offset = {}, 0
    for name, field in layout.items():
        size = rows * field.dtype.itemsize * math.prod(field.shape)
        found[name] = memory[offset : offset + size].view(field.dtype).reshape(rows, *field.shape)
        offset += _aligned(size)
    return found


def _aligned(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED
