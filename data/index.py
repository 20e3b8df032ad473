"""The index of the shards: where each sample starts. One pass over the headers; then any sample is one read."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import UserError
from .sample import Sample
from .shards import ACCEPTED, expand
from .tar import BLOCK, TarError, members, split_name

OPEN_FILES = 256


@dataclasses.dataclass(frozen=True)
class Shard:
    """One tar. path: as found. size: bytes. samples: how many it holds."""

    path: str
    size: int
    samples: int


class Index:
    """Random access to the samples of shards; safe to share between threads, and to send to another process.

    starts: uint32[samples + shards], for each shard the starts of its samples and the end of the last, in blocks of 512 bytes.
    """

    def __init__(self, shards: Sequence[Shard], starts: np.ndarray):
        self.shards = tuple(shards)
        self._starts = starts
        self._first = [0, *itertools.accumulate(shard.samples for shard in shards)]
        self._files: dict[int, _File] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._first[-1]

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the shards' base names, bytes and counts, in order: the same wherever the shards lie."""
        rows = [[os.path.basename(shard.path), shard.size, shard.samples] for shard in self.shards]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def read(self, sample: int) -> Sample:
        """Sample number `sample` of 0..len-1, in one read. Raises OSError, also where the shard is not what was indexed."""
        shard = bisect.bisect_right(self._first, sample) - 1
        row = sample + shard
        start, end = int(self._starts[row]) * BLOCK, int(self._starts[row + 1]) * BLOCK
        path = self.shards[shard].path
        file = self._open(shard)  # held: it closes with its last holder
        data = os.pread(file.descriptor, end - start, start)
        try:
            return _parse(data, path)
        except (TarError, IndexError) as error:
            raise OSError(f"{path} has changed since it was indexed: no whole sample at byte {start}") from error

    def _open(self, shard: int) -> _File:
        with self._lock:
            file = self._files.pop(shard, None) or _File(self.shards[shard].path)
            self._files[shard] = file
            if len(self._files) > OPEN_FILES:
                del self._files[next(iter(self._files))]
            return file

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_files", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _files={}, _lock=threading.Lock())


class _File:
    """A descriptor that closes when the last thread that reads from it lets go."""

    def __init__(self, path: str):
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


def index_shards(patterns: Sequence[str], *, setting: str) -> Index:
    """The index of all samples in the files that `patterns` name.

    setting: the path in the recipe, for messages. Raises UserError: nothing matches, a file is not a whole tar, no samples at all.
    """
    shards, starts = [], []
    for path in expand(patterns, setting=setting):
        try:
            size, blocks = _scan(path)
        except TarError as error:
            raise UserError(f"{setting} has {path!r}, which {error}; {ACCEPTED}") from error
        shards.append(Shard(path, size, len(blocks) - 1))
        starts.append(np.asarray(blocks, np.uint32))
    index = Index(shards, np.concatenate(starts))
    if not len(index):
        raise UserError(f"{setting} = {list(patterns)} holds no samples; {ACCEPTED}")
    return index


def _scan(path: str) -> tuple[int, list[int]]:
    """Bytes of the tar, and the blocks at which its samples start, closed by the block where the last one ends."""
    file = _File(path)
    size = os.fstat(file.descriptor).st_size
    blocks, current, end = [], None, 0
    for member in members(lambda offset, length: os.pread(file.descriptor, length, offset)):
        if member.end > size:
            raise TarError(f"is cut short at byte {size}")
        split = split_name(member.name)
        if split is None:
            continue
        if split[0] != current:
            current = split[0]
            blocks.append(member.start // BLOCK)
        end = member.end
    return size, [*blocks, -(-end // BLOCK)]


def _parse(data: bytes, path: str) -> Sample:
    """The sample that the bytes of its members, headers included, hold."""
    found: dict[str, bytes] = {}
    key = ""
    for member in members(lambda offset, length: data[offset : offset + length]):
        split = split_name(member.name)
        if split is None:
            continue
        if member.end > len(data):
            raise TarError("is cut short")
        key = split[0]
        found[split[1]] = data[member.payload : member.end]
    if not found:
        raise TarError("holds no member")
    return Sample(path, key, found)
