"""What was done of an index that is being made: each finished shard is on disk at once, so that an interrupted one goes on."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import threading
import zlib
from pathlib import Path
from types import TracebackType

import numpy as np

from .manifest import STARTS, Shard


class Notes:
    """Finished shards and their starts in memory. Safe to share between threads."""

    def __init__(self) -> None:
        self.finished: dict[str, Shard] = {}
        self._arrays: dict[str, np.ndarray] = {}

    def __enter__(self) -> Notes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing to do."""

    def add(self, shard: Shard, starts: np.ndarray) -> None:
        """Notes a finished shard; starts: uint32[samples + 1]."""
        self.finished[shard.url], self._arrays[shard.url] = shard, starts

    def starts(self, shard: Shard) -> np.ndarray:
        """uint32[samples + 1] of a finished shard."""
        return self._arrays[shard.url]


class Journal:
    """The same in two files that grow: `FILE.journal` (a line a shard) and `FILE.journal.u32` (their starts), held by one process alone.

    Raises OSError where the folder cannot be written, or another process holds them.
    """

    def __init__(self, file: Path):
        self._paths = (file.with_name(f"{file.name}.journal"), file.with_name(f"{file.name}.journal.u32"))
        self._lock = threading.Lock()
        self._lines = os.open(self._paths[0], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(self._lines, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._starts = os.open(self._paths[1], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            os.close(self._lines)
            raise
        self.finished: dict[str, Shard] = {}
        self._places: dict[str, int] = {}
        self._end = self._read()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Done: the files go; after an error they stay."""
        for path in self._paths if kind is None else ():
            path.unlink(missing_ok=True)
        os.close(self._starts)
        os.close(self._lines)

    def add(self, shard: Shard, starts: np.ndarray) -> None:
        """Notes a finished shard; starts: uint32[samples + 1]. Safe to share between threads."""
        content = np.ascontiguousarray(starts, STARTS).tobytes()
        with self._lock:
            place = self._end
            line = json.dumps({"place": place, "crc": zlib.crc32(content), **dataclasses.asdict(shard)})
            os.pwrite(self._starts, content, place)
            os.write(self._lines, f"{line}\n".encode())
            self._end += len(content)
            self.finished[shard.url], self._places[shard.url] = shard, place

    def starts(self, shard: Shard) -> np.ndarray:
        """uint32[samples + 1] of a finished shard."""
        return np.frombuffer(self._content(shard), STARTS)

    def _content(self, shard: Shard) -> bytes:
        return os.pread(self._starts, (shard.samples + 1) * STARTS.itemsize, self._places[shard.url])

    def _read(self) -> int:
        """Takes up what an earlier process left; a line that it did not finish is cut off. Returns where the starts end."""
        end, whole = 0, 0
        with open(self._paths[0], "rb") as lines:
            for line in lines:
                try:
                    row = json.loads(line)
                    place, crc = row.pop("place"), row.pop("crc")
                    shard = Shard(**{**row, "extensions": tuple(row["extensions"])})
                except (ValueError, KeyError, TypeError, AttributeError):
                    break
                self._places[shard.url] = place
                content = self._content(shard)
                if place != end or not line.endswith(b"\n") or zlib.crc32(content) != crc:
                    break
                self.finished[shard.url] = shard
                end, whole = end + len(content), whole + len(line)
        os.ftruncate(self._lines, whole)
        os.lseek(self._lines, whole, os.SEEK_SET)
        return end
