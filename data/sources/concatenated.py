"""Several sources of one kind, one after the other."""

from __future__ import annotations

import bisect
import hashlib
import itertools
from collections.abc import Sequence

import numpy as np

from ..sample import Sample
from ..source import Source


class Concatenated:
    """The samples of `parts` in order."""

    def __init__(self, parts: Sequence[Source]):
        self._parts = tuple(parts)
        self._first = [0, *itertools.accumulate(map(len, self._parts))]
        self.counts = np.concatenate([part.counts for part in self._parts])
        self.fingerprint = hashlib.sha256("".join(part.fingerprint for part in self._parts).encode()).hexdigest()

    def __len__(self) -> int:
        return self._first[-1]

    def read(self, sample: int) -> Sample:
        """Sample number `sample` of all parts together."""
        part = bisect.bisect_right(self._first, sample) - 1
        return self._parts[part].read(sample - self._first[part])
