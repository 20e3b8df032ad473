"""Files wherever they lie: a size, an etag, and exact ranged reads."""

from __future__ import annotations

import errno
import os
import threading
from typing import Protocol

from .connections import filesystem, store
from .retry import Changed, Patience, Refused, retry
from .stores import Stat


class Blob(Protocol):
    """One object; safe to share between threads.

    url: as it was opened. size: bytes. etag: names this version of it. checksum: of its content, where the store tells one (stores.Stat).
    """

    url: str
    size: int
    etag: str
    checksum: str

    def pread(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset`. Raises OSError: past the end, unreadable after all attempts, Changed since."""

    def close(self) -> None:
        """Lets go; a thread that still reads finishes first."""


def is_local(url: str) -> bool:
    """Whether `url` is a path or file:// url of this machine."""
    return "://" not in url or url.startswith("file://")


def open_url(url: str, *, patience: Patience | None = None) -> Blob:
    """Opens a local path or the url of an object.

    Raises UserError where the kind of url is unknown or its package is missing, FileNotFoundError, PermissionError, OSError.
    """
    if is_local(url):
        return LocalBlob(url)
    return RemoteBlob(url, patience or Patience())


def _exactly(data: bytes, url: str, offset: int, size: int) -> bytes:
    if len(data) != size:
        raise OSError(f"{url}: {len(data)} of the {size} bytes at {offset} came")
    return data


class LocalBlob:
    """A file of this machine."""

    def __init__(self, url: str):
        self.url = url
        self._file: _Descriptor | None = _Descriptor(url.removeprefix("file://"))
        self._made = os.fstat(self._file.number)
        self.size, self.etag, self.checksum = self._made.st_size, f"mtime:{self._made.st_mtime_ns}", ""

    def pread(self, offset: int, size: int) -> bytes:
        """See Blob."""
        file = self._file  # held: it closes with its last holder
        if file is None:
            raise OSError(errno.EBADF, "is closed", self.url)
        data = os.pread(file.number, size, offset)
        while 0 < len(data) < size and (more := os.pread(file.number, size - len(data), offset + len(data))):
            data += more  # one call reads 2 GiB at most
        now = os.fstat(file.number)
        if (now.st_size, now.st_mtime_ns) != (self.size, self._made.st_mtime_ns):
            raise Changed(f"{self.url} has changed: it had {self.size} bytes when it was opened, and has {now.st_size}")
        return _exactly(data, self.url, offset, size)

    def close(self) -> None:
        """See Blob."""
        self._file = None


class RemoteBlob:
    """An object of a store."""

    def __init__(self, url: str, patience: Patience):
        self.url, self._patience = url, patience
        self._closed = threading.Event()
        protocol = url.partition("://")[0]
        self._store = store(protocol, patience, os.getpid())
        self._path = filesystem(protocol, patience, os.getpid())._strip_protocol(url)
        self._stat: Stat = retry(lambda: self._store.stat(self._path), what=url, patience=patience)
        self.size, self.etag, self.checksum = self._stat.size, self._stat.etag, self._stat.checksum

    def pread(self, offset: int, size: int) -> bytes:
        """See Blob."""
        if not 0 <= offset <= offset + size <= self.size:
            raise OSError(f"{self.url} has {self.size} bytes, and none at {offset} .. {offset + size}")
        if not size:
            return b""

        def once() -> bytes:
            return _exactly(self._store.read(self._path, offset, offset + size, self._stat), self.url, offset, size)

        return retry(once, what=f"{self.url}, bytes {offset} .. {offset + size - 1}", patience=self._patience, pause=self._pause)

    def close(self) -> None:
        """See Blob; a thread that reads makes no further attempt. Connections belong to the store, which keeps them."""
        self._closed.set()

    def _pause(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise Refused(f"{self.url} was closed")


class _Descriptor:
    """An open file that closes when the last thread that reads from it lets go."""

    def __init__(self, path: str):
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)
