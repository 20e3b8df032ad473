"""The folder of a shard cache: who holds which shard, and room for another one. Shared by processes, and safe when one is killed."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from .file_lock import lock, unlock, unlocked

RECORD = ".done"
BUSY = 120.0  # seconds for which another process may rearrange the folder: it takes milliseconds
STUCK = 900.0  # seconds for which another process may load a shard that we want without a byte of it: three times retry.Patience


class NoRoom(OSError):
    """The cache is full of shards that are held."""


def name_of(*parts: object) -> str:
    """A file name for whatever a store calls its things: nothing in a url can lead out of the folder."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:40]


class CacheFolder:
    """`shards/` whole shards, `parts/` shards that arrive, `holders/NAME/` the shards that one process holds, as hard links.

    A process is alive as long as its lock on `holders/NAME.alive` is, and its part as long as the lock on it is: locks end with the
    process, so that nothing has to be believed about what a dead one left. A shard that no one alive holds stays until its room is wanted.
    """

    def __init__(self, folder: Path, *, limit: int):
        """limit: bytes of all files, parts at their full size. Raises OSError, TimeoutError where another process does not let go."""
        self._folder, self._limit = folder, limit
        self._shards, self._parts, self._holders = folder / "shards", folder / "parts", folder / "holders"
        for each in (self._shards, self._parts, self._holders):
            each.mkdir(parents=True, exist_ok=True)
        self._mine = self._holders / uuid.uuid4().hex
        with self._locked():
            self._alive = lock(self._mine.with_suffix(".alive"), patience=BUSY)
            self._mine.mkdir()
            with contextlib.suppress(NoRoom):
                self._make_room(0, but="")

    @property
    def mine(self) -> Path:
        """The folder with the shards that this process holds, under their urls' names."""
        return self._mine

    def hold(self, key: str, *, url: str) -> bool:
        """Holds the shard `key`, if it is whole."""
        with self._locked():
            return self._hold(key, url)

    def release(self, key: str, *, url: str) -> None:
        """Lets go of a shard; it goes away if no one else holds it."""
        with self._locked():
            (self._mine / name_of(url)).unlink(missing_ok=True)
            shard = self._shards / key
            if shard.exists() and shard.stat().st_nlink == 1:
                _remove(shard)

    @contextlib.contextmanager
    def part(self, key: str, *, url: str, size: int, beside: int) -> Iterator[Path | None]:
        """The part `key`, locked, with room for its `size` bytes and `beside` for its record; None where the shard is whole, and held.

        Waits for another process that loads the same shard. Raises NoRoom, TimeoutError where that one does nothing.
        """
        path = self._parts / key
        while True:
            held = lock(path, patience=STUCK)
            try:
                with self._locked():
                    whole = self._hold(key, url)
                    if whole:
                        path.unlink(missing_ok=True)
                    if mine := not whole and path.exists() and os.path.samestat(os.fstat(held), path.stat()):
                        self._reserve(path, size, beside)
                if whole or mine:
                    yield None if whole else path
                    return
            finally:
                unlock(held)

    def finish(self, key: str, *, url: str) -> None:
        """Makes a whole shard, which this process holds, of its part."""
        with self._locked():
            os.replace(self._parts / key, self._shards / key)
            (self._parts / record(key)).unlink(missing_ok=True)
            self._hold(key, url)

    def close(self) -> None:
        """Lets go of all shards; they stay for the next process."""
        with self._locked():
            shutil.rmtree(self._mine, ignore_errors=True)
            self._mine.with_suffix(".alive").unlink(missing_ok=True)
            unlock(self._alive)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        held = lock(self._folder / "lock", patience=BUSY)
        try:
            yield
        finally:
            unlock(held)

    def _hold(self, key: str, url: str) -> bool:
        shard = self._shards / key
        try:  # the time of use: that of change is how readers, of any process, know that the shard is still the one that they opened
            os.utime(shard, ns=(time.time_ns(), shard.stat().st_mtime_ns))
        except FileNotFoundError:
            return False
        link = self._mine / name_of(url)
        link.unlink(missing_ok=True)
        os.link(shard, link)
        return True

    def _reserve(self, path: Path, size: int, beside: int) -> None:
        try:
            self._make_room(size + beside, but=path.name)
        except NoRoom:
            if not path.stat().st_size:
                path.unlink()
            raise
        os.truncate(path, size)

    def _make_room(self, size: int, *, but: str) -> None:
        """Removes what no one alive wants, the oldest first, until `size` bytes are free; the part `but` does not count."""
        files = [file for folder in (self._shards, self._parts) for file in os.scandir(folder) if file.name not in (but, record(but))]
        used = sum(file.stat().st_size for file in files)
        if used + size <= self._limit:
            return
        self._bury()
        for path in self._unwanted(but):
            used -= path.stat().st_size
            _remove(path)
            if used + size <= self._limit:
                return
        raise NoRoom(f"no room for {size} bytes in {self._folder}: {used} of {self._limit} are taken by shards that are in use")

    def _bury(self) -> None:
        """Lets go of what dead processes held."""
        for alive in self._holders.glob("*.alive"):
            if unlocked(alive):
                shutil.rmtree(alive.with_suffix(""), ignore_errors=True)
                alive.unlink(missing_ok=True)

    def _unwanted(self, but: str) -> list[Path]:
        """Parts that no one loads, then shards that no one holds."""
        parts = [path for path in self._parts.iterdir() if path.suffix != RECORD and path.name != but and unlocked(path)]
        shards = [path for path in self._shards.iterdir() if path.stat().st_nlink == 1]
        return parts + sorted(shards, key=lambda path: path.stat().st_atime_ns)


def bytes_on_disk(folder: Path) -> int:
    """What the shards and parts of the cache in `folder` take, which need not be there, nor be a cache."""
    total = 0
    for file in itertools.chain(folder.glob("shards/*"), folder.glob("parts/*")):
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_blocks * 512
    return total


def record(part: str) -> str:
    """The name of the record of the ranges that have arrived, beside a part."""
    return part + RECORD


def _remove(path: Path) -> None:
    """Frees the bytes at once, also where a reader still has the file open: it gets an error, and reads at the store."""
    os.truncate(path, 0)
    path.unlink()
    path.with_name(record(path.name)).unlink(missing_ok=True)
