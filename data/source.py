"""The seam between where samples lie and the order in which they are drawn."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .sample import Sample


class Source(Protocol):
    """Samples by number, 0..len-1; safe to share between threads, and to send to another process."""

    @property
    def counts(self) -> np.ndarray:
        """int64[shards]: how many samples each shard holds, in order: what the order of a run is made from."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the samples are, the same wherever they lie."""

    def __len__(self) -> int:
        """Samples in all shards."""

    def read(self, sample: int) -> Sample:
        """One sample. Raises OSError where it cannot be read (after retries), never for bad content."""
