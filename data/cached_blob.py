"""A shard from far away that is read on local disk whenever it lies there."""

from __future__ import annotations

import os
import threading
from typing import Protocol, TypeVar

from .retry import Changed
from .storage import Blob, LocalBlob, open_url

B = TypeVar("B", bound=Blob)


class Paths(Protocol):
    """What knows which shards lie on local disk: a ShardCache."""

    def path(self, url: str) -> str | None:
        """The local file with the whole shard, if there is one now."""


class CachedBlob:
    """A Blob. Each read looks anew where the shard lies, which may come and go; what goes during a read is read at its store."""

    def __init__(self, url: str, *, size: int, etag: str | None, cache: Paths):
        """size: bytes that the shard must have. etag: its version at the store; None: any."""
        self.url, self.size, self.etag, self.checksum = url, size, etag or "", ""
        self._cache, self._lock = cache, threading.Lock()
        self._near: tuple[os.stat_result, LocalBlob] | None = None
        self._far: Blob | None = None

    def pread(self, offset: int, size: int) -> bytes:
        """See Blob."""
        if near := self._local():
            try:
                return near.pread(offset, size)
            except OSError:
                self._forget(near)
        return self._remote().pread(offset, size)

    def close(self) -> None:
        """See Blob."""
        with self._lock:
            self._near = self._far = None

    def _local(self) -> LocalBlob | None:
        path = self._cache.path(self.url)
        with self._lock:
            try:
                if path is not None and (self._near is None or not os.path.samestat(self._near[0], os.stat(path))):
                    self._near = os.stat(path), LocalBlob(path)
            except FileNotFoundError:
                path = None
            if path is None or self._near is None or not self._near[1].size:  # it goes: a cache that drops a file empties it first
                self._near = None
                return None
            return self._checked(self._near[1])

    def _forget(self, near: LocalBlob) -> None:
        """The next read opens the file anew."""
        with self._lock:
            if self._near is not None and self._near[1] is near:
                self._near = None

    def _remote(self) -> Blob:
        with self._lock:
            if self._far is None:
                far = self._checked(open_url(self.url))
                if self.etag not in ("", far.etag):
                    raise Changed(f"{self.url} has changed since it was indexed: it was {self.etag} and is {far.etag}")
                self._far = far
            return self._far

    def _checked(self, blob: B) -> B:
        if blob.size != self.size:
            raise Changed(f"{self.url} has changed since it was indexed: it had {self.size} bytes and has {blob.size}")
        return blob
