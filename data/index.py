"""The index of the shards: any sample is one read."""

from __future__ import annotations

import bisect
import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .cached_blob import CachedBlob, Paths
from .index_manifest import index_manifest, names_manifest
from .kept import Kept
from .manifest import Manifest, Shard
from .open_shards import open_shards
from .read_shard import scan_blob
from .sample import Sample
from .scan import sample_members
from .storage import Blob, is_local, open_url
from .tar import BLOCK
from .tar_names import TarError
from .versions import DoubtTimes, refuse_version

LOCATED_SHARDS = 1024  # whose starts are kept, where they had to be found: 40 kB each at 10,000 samples


class Index:
    """Random access to the samples of shards; a Source. Safe to share between threads, and to send to another process.

    shards: in the order of their numbers. fingerprint: SHA-256 of the shards' base names, bytes and counts, in that order: the same
    wherever they lie.
    """

    def __init__(self, manifest: Manifest, *, cache: Paths | None = None, other_version: Callable[[Shard, str], None] = refuse_version):
        """other_version: called with a shard, and the etag that it has now, where that is not the manifest's."""
        self._other_version = other_version
        self.shards, self.fingerprint, self._starts, self._cache = manifest.shards, manifest.fingerprint, manifest.starts, cache
        self._set_up()

    def _set_up(self) -> None:
        self._first = [0, *itertools.accumulate(shard.samples for shard in self.shards)]
        self._name = object()  # among the indices of the process
        self._located: Kept[int, np.ndarray] = Kept(LOCATED_SHARDS)

    def __len__(self) -> int:
        return self._first[-1]

    @property
    def counts(self) -> np.ndarray:
        """int64[shards]: how many samples each holds."""
        return np.diff(np.array(self._first, np.int64))

    def through(self, cache: Paths) -> Index:
        """The same index, which reads shards from far away out of `cache` where they are there."""
        return Index(Manifest(self.shards, self._starts, self.fingerprint), cache=cache, other_version=self._other_version)

    def read(self, sample: int) -> Sample:
        """Sample number `sample` of 0..len-1, in one read. Raises OSError, also where the shard is not what was indexed."""
        if not 0 <= sample < len(self):
            raise IndexError(f"there is no sample {sample} among {len(self)}")
        number = bisect.bisect_right(self._first, sample) - 1
        shard, blob = self.shards[number], self._blob(number)
        start, end = self._place(number, sample, blob)
        data = blob.pread(start, end - start)
        try:
            key, found = sample_members(data)
        except TarError as error:
            raise OSError(f"{shard.url} has changed since it was indexed: no whole sample at byte {start}") from error
        return Sample(shard.url, key, found)

    def _place(self, number: int, sample: int, blob: Blob) -> tuple[int, int]:
        """The bytes where a sample starts and ends."""
        starts, row = self._starts.array, sample + number
        if not self.shards[number].located:
            starts, row = self._locate(number, blob), sample - self._first[number]
        return int(starts[row]) * BLOCK, int(starts[row + 1]) * BLOCK

    def _locate(self, number: int, blob: Blob) -> np.ndarray:
        """The starts of the samples of a shard of which only their number was known. Raises OSError where that is another."""
        shard = self.shards[number]
        try:
            starts = self._located.get(number, lambda: scan_blob(blob, blob.url).starts)
        except TarError as error:
            raise OSError(f"{shard.url} {error}") from error
        if len(starts) != shard.samples + 1:
            raise OSError(
                f"{shard.url} holds {len(starts) - 1} samples where {shard.counted} says {shard.samples}: "
                "index it again with `diptych data index --scan`, and start a new run"
            )
        return starts

    def _blob(self, number: int) -> Blob:
        return open_shards(os.getpid()).get((self._name, number), lambda: self._opened(self.shards[number]))

    def _opened(self, shard: Shard) -> Blob:
        if self._cache is not None and not is_local(shard.url):
            return CachedBlob(shard.url, size=shard.bytes, etag=shard.etag, cache=self._cache)
        blob = open_url(shard.url)
        if blob.size != shard.bytes:
            raise OSError(f"{shard.url} has changed since it was indexed: it had {shard.bytes} bytes and has {blob.size}")
        if shard.etag and shard.etag != blob.etag:
            self._other_version(shard, blob.etag)
        return blob

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("shards", "fingerprint", "_starts", "_cache", "_other_version")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._set_up()


def index_shards(patterns: Sequence[str], *, setting: str) -> Index:
    """The index of all samples in the shards, or the manifest, that `patterns` name: as `index_manifest`, which says what it raises."""
    manifest = index_manifest(patterns, setting=setting)
    return Index(manifest, other_version=DoubtTimes(setting) if names_manifest(patterns) else refuse_version)
