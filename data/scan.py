"""From the members of a tar to the samples of a shard."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

import numpy as np

from .tar import BLOCK, Member, Read, archive, stretch
from .tar_names import TarError, split_name

MAX_BLOCKS = 1 << 32
SUFFIXES = 64  # that are listed of a shard


class Blob(Protocol):
    """What `storage.open_url` gives, as far as it is used here."""

    size: int

    def pread(self, offset: int, size: int) -> bytes:
        """Bytes of the file, fewer at its end."""


@dataclasses.dataclass(frozen=True)
class Scan:
    """What the headers of a shard say.

    starts: uint32[samples + 1], where each sample starts and the last one ends, in blocks of 512 bytes.
    extensions: suffixes of members, sorted, 64 at most. repeated: samples whose key another sample of the shard has too, less one a key.
    """

    starts: np.ndarray
    extensions: tuple[str, ...]
    repeated: int


class Part(NamedTuple):
    """A member that belongs to a sample. begins: whether it is the sample's first."""

    member: Member
    key: str
    suffix: str
    begins: bool


def parts(found: Iterable[Member]) -> Iterator[Part]:
    """The members that belong to samples; those of one sample lie side by side.

    A key that comes again behind another one, or a suffix that a sample has already, begins another sample: as open_clip reads shards,
    where webdataset raises. Nothing is lost, and a sample is one stretch of bytes.
    """
    current, suffixes = None, set[str]()
    for member in found:
        split = split_name(member.name)
        if split is None:
            continue
        key, suffix = split
        begins = key != current or suffix in suffixes
        if begins:
            current, suffixes = key, set()
        suffixes.add(suffix)
        yield Part(member, key, suffix, begins)


def scan(read: Read, size: int) -> Scan:
    """Reads all headers of a tar of `size` bytes. Raises TarError where it is not a whole tar."""
    starts, end, keys, suffixes = list[int](), 0, set[str](), set[str]()
    for part in parts(archive(read, size)):
        if part.begins:
            starts.append(part.member.start // BLOCK)
            keys.add(part.key)
        if len(suffixes) < SUFFIXES:
            suffixes.add(part.suffix)
        end = part.member.end
    closed = -(-end // BLOCK)
    if closed >= MAX_BLOCKS:
        raise TarError("is larger than 2 TiB")
    return Scan(np.array([*starts, closed], np.uint32), tuple(sorted(suffixes)), len(starts) - len(keys))


def sample_members(data: bytes) -> tuple[str, dict[str, bytes]]:
    """Key and members (suffix -> content) of the one sample that `data`, headers included, holds. Raises TarError for another number."""
    key, found = "", dict[str, bytes]()
    for part in parts(stretch(lambda offset, size: data[offset : offset + size], len(data))):
        if part.begins and found:
            raise TarError("holds several samples")
        key, found[part.suffix] = part.key, data[part.member.payload : part.member.end]
    if not found:
        raise TarError("holds no member")
    return key, found


class Chunks:
    """Reads a file in few large requests: a chunk of bytes is kept, and what lies in it costs nothing."""

    def __init__(self, blob: Blob, chunk: int):
        self._blob, self._chunk = blob, chunk
        self._start, self._data = 0, b""

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`, fewer at the end."""
        at = offset - self._start
        if at < 0 or at + size > len(self._data):
            self._data = self._blob.pread(offset, max(0, min(max(size, self._chunk), self._blob.size - offset)))
            self._start, at = offset, 0
        return self._data[at : at + size]
