"""Position in the run -> sample: what an order is, and the exact one. Pure functions of the seed, the same on any number of hosts."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from .permutation import mix, permuted


@functools.lru_cache(maxsize=1024)
def hash_seed(*parts: int | str, bits: int = 32) -> int:
    """A number of `bits` bits that depends on all parts."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=bits // 8).digest(), "little")


def generator(seed: int, position: int, stream: str) -> np.random.Generator:
    """The randomness of the sample at `position` of the run for the purpose `stream`: 2^64 draws that no other position or stream shares.

    Philox (Salmon et al., 2011): keyed by (seed, stream), counted by position.
    """
    key = hash_seed("generator", seed, stream, bits=64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, position, 0, 0]))


class Drawn(NamedTuple):
    """A sample: number `sample` of source number `source`."""

    source: int
    sample: int


class Use(NamedTuple):
    """The positions of the run between which a shard of a source may be read: its block's, so that its own first draw may come later."""

    first: int
    last: int
    source: int
    shard: int


class Order(Protocol):
    """Which sample each position of the run draws. Position p is place p // V of stream p % V, where V is `streams`."""

    streams: int

    def __call__(self, position: int) -> Drawn:
        """The sample at `position` of the run, 0 <= position."""

    def substitutes(self, position: int) -> Iterator[Drawn]:
        """What may stand in for a bad sample at `position`: others of its source, each once, those of its stream first."""

    def uses(self, streams: Sequence[int], start: int) -> Iterator[Use]:
        """The shards that `streams` read from position `start` on, in order of first use, endlessly."""


class Block(NamedTuple):
    """Places first .. last of a stream that are shuffled among themselves. shards: int64[n], which those are read from."""

    first: int
    last: int
    shards: np.ndarray


class Shuffle(Protocol):
    """The order of one source, stream by stream."""

    def __call__(self, stream: int, place: int) -> int:
        """The sample at a place of a stream."""

    def substitutes(self, stream: int, place: int) -> Iterator[int]:
        """Other samples of the same block, each once, in an order of the place's own; where it is small, those of the source after it."""

    def blocks(self, stream: int, place: int) -> Iterator[Block]:
        """The blocks of a stream from the one that holds `place` on, endlessly."""


def positions(first: int, batch_size: int, slots: np.ndarray, *, streams: int) -> np.ndarray:
    """int64[b]: the positions that the rows `slots` of a global batch hold, the batch of the positions first .. first + batch_size - 1.

    Rows are ordered by stream, so that hosts with neighbouring rows own whole streams. first and batch_size: multiples of `streams`.
    """
    stream, row = np.divmod(np.asarray(slots, np.int64), batch_size // streams)
    return first + row * streams + stream


class ExactShuffle:
    """A true global shuffle: every epoch visits each sample once, in an order of its own. One stream."""

    def __init__(self, counts: np.ndarray, *, key: int):
        """counts: int64[shards]. key: 64 bits."""
        self._counts, self._samples, self._key = counts, int(counts.sum()), key

    def __call__(self, stream: int, place: int) -> int:
        """As `Shuffle` says."""
        epoch, offset = divmod(place, self._samples)
        return permuted(offset, self._samples, mix(self._key, epoch))

    def substitutes(self, stream: int, place: int) -> Iterator[int]:
        """As `Shuffle` says."""
        epoch, offset = divmod(place, self._samples)
        for other in others(offset, self._samples, mix(self._key, place)):
            yield self(stream, epoch * self._samples + other)

    def blocks(self, stream: int, place: int) -> Iterator[Block]:
        """As `Shuffle` says."""
        epoch, shards = place // self._samples, np.flatnonzero(self._counts)
        while True:
            yield Block(epoch * self._samples, (epoch + 1) * self._samples - 1, shards)
            epoch += 1


def others(offset: int, size: int, key: int) -> Iterator[int]:
    """0 .. size - 1 without `offset`, each once, beginning anywhere."""
    begin = key % max(size - 1, 1)
    for attempt in range(size - 1):
        yield (offset + 1 + (begin + attempt) % (size - 1)) % size
