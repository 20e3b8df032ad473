"""Shards that were read before: for an older manifest, or before an interruption."""

from __future__ import annotations

import numpy as np

from .journal import Journal, Notes
from .manifest import Manifest, Shard
from .shards import Found


class Known:
    """What `notes` and `manifest` say, the former first."""

    def __init__(self, manifest: Manifest | None, notes: Notes | Journal):
        self._manifest, self._notes = manifest, notes
        self._rows: dict[str, int] = {}
        self._shards: dict[str, Shard] = {}
        row = 0
        for shard in manifest.shards if manifest else ():
            self._rows[shard.url], self._shards[shard.url] = row, shard
            row += shard.samples + 1

    def unchanged(self, file: Found) -> Shard | None:
        """What was read in the file, if its size and version are what they were then."""
        for shards in (self._notes.finished, self._shards):
            shard = shards.get(file.place)
            if shard is not None and (shard.bytes, shard.etag) == (file.bytes, file.etag):
                return shard
        return None

    def starts(self, shard: Shard) -> np.ndarray:
        """uint32[samples + 1] of a shard that was read, before or by now."""
        if self._manifest is None or self._notes.finished.get(shard.url) == shard:
            return self._notes.starts(shard)
        row = self._rows[shard.url]
        return self._manifest.starts.array[row : row + shard.samples + 1]
