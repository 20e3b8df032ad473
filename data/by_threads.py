"""Batches made ahead by threads of this process, through Grain."""

from __future__ import annotations

import sys
import threading

import grain
import numpy as np

from .bad import Bad
from .batch_memory import BatchMemory, own_block
from .rows import Made, Reader, Rows


class ByThreads(Reader):
    """The part is the element that Grain sees, and its number decides all of it: Grain's own state is not used."""

    def __init__(self, rows: Rows, *, threads: int):
        self._rows, self._next = rows, 0
        self._memory, self._opening = BatchMemory(own_block), threading.Lock()
        self._open: dict[int, dict[str, np.ndarray]] = {}
        ahead = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=rows.parts + threads)
        self._parts = iter(grain.MapDataset.range(sys.maxsize).map(self._fill).to_iter_dataset(ahead))

    def __next__(self) -> Made:
        bad = [bad for _ in range(self._rows.parts) for bad in next(self._parts)]
        self._next += 1
        return Made(self._open.pop(self._next - 1), bad)

    def close(self) -> None:
        """Stops the threads."""
        self._parts.close()

    def _fill(self, number: int) -> list[Bad]:
        batch, part = divmod(number, self._rows.parts)
        with self._opening:
            if batch not in self._open:
                self._open[batch], _ = self._memory.batch(self._rows.layout(batch), self._rows.count)
            out = self._open[batch]
        return self._rows.fill(batch, part, out)
