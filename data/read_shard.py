"""What one shard holds: read in its headers, or in what another tool wrote beside it."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from .beside import Beside
from .manifest import Shard, base_name
from .scan import Blob, Chunks, Scan, scan
from .shards import Found
from .sidecars import ENERGON, Count
from .storage import is_local, open_url

LOCAL_CHUNK = PROBE_CHUNK = 256 << 10  # bytes: twice as many headers a second as with a request for each
REMOTE_CHUNK = 8 << 20


def look_up(file: Found) -> Found:
    """The file with its size and version of now. Raises OSError."""
    if is_local(file.url):
        status = os.stat(file.url)
        return dataclasses.replace(file, bytes=status.st_size, etag=f"mtime:{status.st_mtime_ns}")
    if file.bytes is not None and file.etag is not None:
        return file
    blob = open_url(file.url)
    try:
        return Found(file.url, blob.size, blob.etag)
    finally:
        blob.close()


def scan_blob(blob: Blob, url: str) -> Scan:
    """Reads all headers of an open shard, in few requests. Raises TarError, OSError."""
    return scan(Chunks(blob, LOCAL_CHUNK if is_local(url) else REMOTE_CHUNK).read, blob.size)


def read_shard(file: Found, beside: Beside | None) -> tuple[Shard, np.ndarray]:
    """What a shard holds, and uint32[samples + 1], the starts of its samples (zeros where they are not known).

    Starts of samples beside it are taken. A number beside it is taken of a shard that is far away; of a local one, and of the first of a
    folder, the headers are read, which have to say the same. Raises TarError, OSError.
    """
    url = file.place
    blob = open_url(url)
    try:
        if found := beside and beside.scan(url, read=Chunks(blob, PROBE_CHUNK).read, size=blob.size):
            return _shard(file, blob, found, counted=base_name(url) + ENERGON), found.starts
        count = beside.count(url) if beside else None
        if count is None:
            found = scan_blob(blob, url)
        elif beside and not is_local(url) and not beside.to_prove(url):
            return _counted(file, blob, count), np.zeros(count.samples + 1, np.uint32)
        else:
            found = scan_blob(blob, url)
            count.check(samples=len(found.starts) - 1, size=blob.size)
        return _shard(file, blob, found, counted="headers"), found.starts
    finally:
        blob.close()


def _shard(file: Found, blob: Blob, found: Scan, *, counted: str) -> Shard:
    return Shard(file.place, blob.size, file.etag, len(found.starts) - 1, found.extensions, found.repeated, counted)


def _counted(file: Found, blob: Blob, count: Count) -> Shard:
    count.check(size=blob.size)
    return Shard(file.place, blob.size, file.etag, count.samples, counted=count.name, located=False)
