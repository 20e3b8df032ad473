"""Position in the run -> sample. A pure function of the seed: no state, no buffer, the same on any number of hosts."""

from __future__ import annotations

import dataclasses
import functools
import hashlib

import numpy as np
from grain.experimental import index_shuffle

ROUNDS = 8  # with 4, differences between neighbours repeat; 8 is clean
SUBSTITUTES = 8
TABLE = 1 << 16  # below, index_shuffle walks out of a small range again and again: 360 us for one of 100 samples, 12 us of 3,440


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


@dataclasses.dataclass(frozen=True)
class Order:
    """A true global shuffle of `samples` samples: every epoch visits each one once, in an order of its own."""

    seed: int
    samples: int

    def __call__(self, position: int) -> int:
        """The sample at `position` of the run, 0 <= position; the epoch is position // samples."""
        epoch, place = divmod(position, self.samples)
        return _shuffled(place, self.samples, hash_seed("order", self.seed, epoch))

    def many(self, first: int, count: int) -> np.ndarray:
        """The samples at the positions first .. first + count - 1: int64[count], at most 2.5 us each."""
        return np.fromiter(map(self, range(first, first + count)), np.int64, count)

    def substitute(self, position: int, attempt: int) -> int:
        """The sample that stands in for a bad one at `position`: of the same epoch, never the bad one itself, another for each attempt.

        attempt: 1 .. samples - 1.
        """
        if not 0 < attempt < self.samples:
            raise IndexError(f"{self.samples} samples have no substitute number {attempt}")
        epoch, place = divmod(position, self.samples)
        distance = (hash_seed("substitute", self.seed, position) + attempt) % (self.samples - 1) + 1
        return self(epoch * self.samples + (place + distance) % self.samples)


def _shuffled(place: int, samples: int, seed: int) -> int:
    """Where `place` of 0 .. samples - 1 goes in the permutation that `seed`, of 32 bits, names."""
    if samples <= TABLE:
        return int(_table(samples, seed)[place])
    last = samples - 1
    power_of_two = last & (last - 1) == 0
    while True:
        # Grain 0.2.18 takes ceil(log2(max_index)) bits, one too few for max_index = 4^k, where two places would share a sample
        place = index_shuffle(place, max_index=last + power_of_two, seed=seed, rounds=ROUNDS)
        if place <= last:
            return place


@functools.lru_cache(maxsize=8)
def _table(samples: int, seed: int) -> np.ndarray:
    """A whole permutation: uint16[samples]. Sorted raw numbers of Philox, which NumPy promises not to change."""
    return np.argsort(np.random.Philox(key=seed).random_raw(samples), kind="stable").astype(np.uint16)
