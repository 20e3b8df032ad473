"""Who makes the rows of batches, and who brings batches ahead of the run: the two sides of reading ahead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

import numpy as np

from .bad import Bad
from .row_layout import Layout


class Rows(Protocol):
    """Batches as functions of their number. Safe to share between threads, and to send to another process."""

    count: int  # of a batch
    parts: int  # of a batch

    def layout(self, batch: int) -> Layout:
        """What its rows hold."""

    def fill(self, batch: int, part: int, out: Mapping[str, np.ndarray]) -> list[Bad]:
        """Makes a part of the rows, in their places in `out`, the arrays of the whole batch; the draws that could not be used, by row."""


class Made(NamedTuple):
    """A batch and the draws that could not be used, by row."""

    batch: dict[str, np.ndarray]
    bad: list[Bad]


class Reader(Iterator[Made], Protocol):
    """Batch 0, 1, ..., made before they are asked for. The memory of a batch is used again once no array of it is left."""

    def close(self) -> None:
        """Stops what works ahead; there is no next batch then."""
