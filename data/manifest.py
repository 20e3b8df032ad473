"""The manifest of shards: which there are, and where each of their samples starts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import posixpath
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

STARTS = np.dtype("<u4")


@dataclasses.dataclass(frozen=True, slots=True)
class Shard:
    """One tar. url: absolute path or URL. bytes: its size. etag: its version where it lies (of a local file the time it was changed).

    samples: how many it holds. extensions: suffixes of its members that were seen. repeated: samples with a key that came before.
    counted: where the number is from, `headers` or the name of a file beside the shard.
    located: whether it is known where its samples start; else its headers are read when the first of them is.
    """

    url: str
    bytes: int
    etag: str | None
    samples: int
    extensions: tuple[str, ...] = ()
    repeated: int = 0
    counted: str = "headers"
    located: bool = True


class ManifestError(ValueError):
    """The file is no manifest; the message ends a sentence that begins with its name."""


class Starts:
    """uint32[samples + shards]: of each shard the starts of its samples and the end of the last, in blocks of 512 bytes.

    Mapped from its file, if it has one, and then sent to another process as the file's name alone.
    """

    def __init__(self, array: np.ndarray, *, file: str | None = None):
        self.array, self._file = array, file

    @classmethod
    def mapped(cls, file: str, *, length: int) -> Starts:
        """The starts in a file. Raises ManifestError where it is missing, or not of that length."""
        try:
            mapped = np.memmap(file, STARTS, "r")
        except (OSError, ValueError) as error:
            raise ManifestError(f"lacks its starts of samples in {os.path.basename(file)!r}") from error
        if len(mapped) != length:
            raise ManifestError(f"has {len(mapped)} starts of samples in {os.path.basename(file)!r} where {length} belong")
        return cls(mapped.view(np.ndarray), file=file)

    def __reduce__(self) -> tuple[Callable[..., Starts], tuple[Any, ...]]:
        return (Starts, (self.array,)) if self._file is None else (_mapped, (self._file, len(self.array)))


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Shards in the order of their numbers, the starts of their samples, and the fingerprint of names, bytes and counts."""

    shards: tuple[Shard, ...]
    starts: Starts
    fingerprint: str

    @property
    def samples(self) -> int:
        """Of all shards."""
        return sum(shard.samples for shard in self.shards)


def base_name(url: str) -> str:
    """The file's own name, without a URL's query."""
    return posixpath.basename(url.partition("?")[0] if "://" in url else url)


def in_order(shards: Iterable[Shard]) -> list[Shard]:
    """Sorted by base name, then by size: the same order wherever the shards lie and however patterns name them."""
    return sorted(shards, key=lambda shard: (base_name(shard.url), shard.bytes, shard.url))


def fingerprint(shards: Iterable[Shard]) -> str:
    """SHA-256 of the shards' base names, bytes and counts, in order: the same wherever they lie."""
    rows = [[base_name(shard.url), shard.bytes, shard.samples] for shard in shards]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _mapped(file: str, length: int) -> Starts:
    return Starts.mapped(file, length=length)
