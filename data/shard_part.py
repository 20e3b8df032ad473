"""A shard that arrives: ranges in any order, and a record of those that are there, so that an interrupted one goes on."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")


class Part:
    """A file of its full size that fills. After a crash of the process it goes on; after one of the machine it begins anew."""

    def __init__(self, path: Path, record: Path, *, size: int, chunk: int):
        """path: an existing file of `size` bytes. record: one byte a chunk, behind a line that says what they mean."""
        self._size, self._chunk = size, chunk
        head = f"{_boot()} {size} {chunk}\n".encode()
        self._head, count = len(head), -(-size // chunk)
        known = record.read_bytes() if record.exists() else b""
        if not known.startswith(head) or len(known) != len(head) + count:
            known = head + bytes(count)
            record.write_bytes(known)
        self.missing = [number for number, there in enumerate(known[len(head) :]) if not there]
        self._data, self._record = os.open(path, os.O_RDWR | os.O_CLOEXEC), os.open(record, os.O_RDWR | os.O_CLOEXEC)

    def range(self, number: int) -> tuple[int, int]:
        """Offset and size of a chunk."""
        start = number * self._chunk
        return start, min(self._chunk, self._size - start)

    def write(self, number: int, data: bytes) -> None:
        """Keeps a chunk. Raises OSError, as where the disk is full."""
        start, view = number * self._chunk, memoryview(data)
        while view:
            written = os.pwrite(self._data, view, start)
            start, view = start + written, view[written:]
        os.pwrite(self._record, b"\1", self._head + number)

    def checksum(self, algorithm: str) -> str | None:
        """Hex digits of the content's `md5`, `sha256` or `crc32c`; None for a crc32c that no installed package reckons."""
        with open(self._data, "rb", closefd=False) as file:
            file.seek(0)
            if algorithm != "crc32c":
                return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
            with contextlib.suppress(ImportError):
                crc = importlib.import_module("google_crc32c").Checksum()
                while data := file.read(1 << 20):
                    crc.update(data)
                return crc.digest().hex()
        return None

    def forget(self) -> None:
        """No chunk is there."""
        count = -(-self._size // self._chunk)
        os.pwrite(self._record, bytes(count), self._head)
        self.missing = list(range(count))

    def close(self, *, sync: bool) -> None:
        """sync: waits until the data is on disk."""
        if sync:
            os.fsync(self._data)
        os.close(self._data)
        os.close(self._record)


def record_size(size: int, chunk: int) -> int:
    """Bytes of the record of a shard, at most."""
    return 128 + -(-size // chunk)


def _boot() -> str:
    return BOOT.read_text().strip() if BOOT.exists() else ""
