"""Memory that several processes of a host map: a file without a name, which is gone with the last of them, however they end."""

from __future__ import annotations

import mmap
import os
import tempfile
from multiprocessing.reduction import DupFd
from typing import Any


class SharedFile:
    """Grows by blocks. May be sent to a process that is being started, and to no other."""

    def __init__(self) -> None:
        self._file, self._size = _nameless(), 0

    def grow(self, size: int) -> int:
        """Where a new block of `size` bytes or more begins. Raises OSError where the host has no room for it."""
        offset = self._size
        self._size += -(-size // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._file, offset, self._size - offset)  # without it a page that cannot be had ends the process that writes
        else:
            os.ftruncate(self._file, self._size)
        return offset

    def map(self, offset: int, size: int) -> mmap.mmap:
        """A block, for reading and writing."""
        return mmap.mmap(self._file, size, offset=offset)

    def close(self) -> None:
        """What is mapped stays so; the file can no longer grow."""
        os.close(self._file)
        self._file = -1

    def __getstate__(self) -> Any:
        return DupFd(self._file)

    def __setstate__(self, file: Any) -> None:
        self._file, self._size = file.detach(), 0


def _nameless() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("diptych-batches")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
