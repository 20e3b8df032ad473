"""A shard's bytes from its store into a part, several ranges at a time, until they are what the store says they are."""

from __future__ import annotations

import functools
import logging
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from .retry import Changed
from .shard_part import Part
from .storage import Blob

LOG = logging.getLogger("diptych.data")
DOWNLOADS = 2  # of one shard whose content is not what its checksum says


class Closed(OSError):
    """The cache was closed while a shard arrived."""


def download(blob: Blob, part: Part, *, connections: int, closing: threading.Event) -> None:
    """Fills what is missing in `part`. Raises Changed (another content than the store's checksum, twice), Closed, OSError."""
    for _ in range(DOWNLOADS):
        _fill(part, blob, connections, closing)
        if _verified(part, blob):
            return
        LOG.warning("%s did not arrive as its store has it (%s); it is loaded again", blob.url, blob.checksum)
        part.forget()
    raise Changed(f"{blob.url} is not what its store says: {DOWNLOADS} downloads had another checksum than {blob.checksum}")


def _fill(part: Part, blob: Blob, connections: int, closing: threading.Event) -> None:
    def one(number: int) -> None:
        if closing.is_set():
            raise Closed(f"{blob.url}: the shard cache was closed")
        part.write(number, blob.pread(*part.range(number)))

    with ThreadPoolExecutor(connections, thread_name_prefix="shard-range") as pool:
        arriving = [pool.submit(one, number) for number in part.missing]
        done, waiting = wait(arriving, return_when=FIRST_EXCEPTION)
        for each in waiting:
            each.cancel()
    for each in done:
        each.result()


def _verified(part: Part, blob: Blob) -> bool:
    algorithm, _, digits = blob.checksum.partition(":")
    if not algorithm:
        return True
    found = part.checksum(algorithm)
    if found is None:
        _say_unverified(algorithm)
    return found in (None, digits)


@functools.cache
def _say_unverified(algorithm: str) -> None:
    """Once a process."""
    LOG.warning("shards are not compared with their %s, for want of a package: pip install 'google-crc32c'", algorithm)
