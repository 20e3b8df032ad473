"""Memory of batches that is used again: fresh pages cost 0.1 ms an image, more than the copy into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

KEPT = 2


class Buffers:
    """Joins chunks to batches in memory that was given back."""

    def __init__(self) -> None:
        self._free: list[Mapping[str, np.ndarray]] = []

    def joined(self, chunks: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """name -> the rows of all `chunks`, which have the same names, shapes and dtypes but for the number of rows."""
        rows = sum(len(next(iter(chunk.values()))) for chunk in chunks)
        shapes = {name: ((rows, *value.shape[1:]), value.dtype) for name, value in chunks[0].items()}
        found = self._find(shapes)
        for name, out in found.items():
            np.concatenate([chunk[name] for chunk in chunks], out=out)
        return found

    def give_back(self, batch: Mapping[str, np.ndarray]) -> None:
        """Nobody reads `batch` any more."""
        self._free = [*self._free, batch][-KEPT:]

    def _find(self, shapes: Mapping[str, tuple[tuple[int, ...], np.dtype]]) -> dict[str, np.ndarray]:
        for number, batch in enumerate(self._free):
            if all(name in batch and (batch[name].shape, batch[name].dtype) == shapes[name] for name in shapes):
                del self._free[number]
                return {name: batch[name] for name in shapes}
        return {name: np.empty(shape, dtype) for name, (shape, dtype) in shapes.items()}
