"""Scenes of coloured shapes, rendered when they are drawn: training data without a file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from ...errors import UserError
from ..sample import Sample
from ..shapes import train_scene
from ..write_shapes import members_of_scene

ACCEPTED = "accepted is COUNT or COUNTxSIZE, such as 10000x64: so many scenes, so many pixels wide"
SIZE = 64
SHARD_SAMPLES = 1000


def open_places(places: Sequence[str], *, setting: str) -> ShapesSource:
    """The scenes that the one entry of `places` counts. Raises UserError."""
    count, _, size = places[0].partition("x")
    if len(places) != 1 or not count.isdecimal() or not (size or str(SIZE)).isdecimal() or not int(count) or int(size or SIZE) < 8:
        raise UserError(f"{setting} = {','.join(places)!r} is not a number of scenes; {ACCEPTED}")
    return ShapesSource(int(count), size=int(size or SIZE))


class ShapesSource:
    """`count` random scenes of pairs of colour and shape that are not held out, `size` x `size` pixels."""

    def __init__(self, count: int, *, size: int):
        self._count, self._size = count, size
        whole, rest = divmod(count, SHARD_SAMPLES)
        self.counts = np.array([SHARD_SAMPLES] * whole + [rest] * bool(rest), np.int64)
        self.fingerprint = hashlib.sha256(f"shapes 2 {count} {size}".encode()).hexdigest()

    def __len__(self) -> int:
        return self._count

    def read(self, sample: int) -> Sample:
        """Scene number `sample`: png, txt and json."""
        return Sample("shapes", f"{sample:08d}", members_of_scene(train_scene(sample, seed=0), self._size))
