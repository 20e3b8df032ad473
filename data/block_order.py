"""The hierarchical block shuffle over fixed virtual streams: mixes like a global shuffle, reads whole shards once, and cuts to any hosts.

Each epoch permutes the shards, turns their concatenation by a place of its own, and cuts it into as many equal stretches as there are
streams: what is left over, and not visited, lies anywhere. A stream is shuffled in blocks, whose borders lie elsewhere in each (epoch,
stream), so that hosts do not all cross one, and fetch, in the same step.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np

from ..errors import UserError
from .order import Block, others
from .permutation import mix, permuted

KEPT_BLOCKS = 4096
PHASE, BLOCK, REPLACE, TURN = 1, 2, 3, 4  # purposes of random numbers
REVISION = 2  # of what follows from a key: a run that began with another cannot go on
ENOUGH_OTHERS = 101  # a smaller block (a stretch's edge) looks for substitutes in the whole stretch, a smaller stretch in the source


@dataclasses.dataclass(frozen=True, eq=False)
class _Epoch:
    """shards: permuted. ends: samples up to and with each. shift: what leads from a place of the concatenation to a number of a sample.

    turn: the place of the concatenation at which the first stream begins.
    """

    shards: np.ndarray
    ends: np.ndarray
    shift: np.ndarray
    turn: int


class BlockShuffle:
    """An order of one source; each epoch visits every sample at most once and drops fewer than `streams`."""

    def __init__(self, counts: np.ndarray, *, streams: int, block_samples: int, key: int):
        """counts: int64[shards]. block_samples: places of a block. key: 64 bits. UserError where there are more streams than samples."""
        self._counts, self._block_samples, self._key = counts, block_samples, key
        self._firsts, self._samples, self._streams = np.cumsum(counts) - counts, int(counts.sum()), streams
        self.length = self._samples // streams  # of a stream in an epoch
        if not self.length:
            raise UserError(f"data.streams = {streams} is more than the {self._samples} samples; accepted is at most that, or order exact")
        self._block = functools.lru_cache(KEPT_BLOCKS)(self._make_block)
        self._epochs: dict[int, _Epoch] = {}

    def __reduce__(self) -> tuple[object, ...]:
        return functools.partial(type(self), streams=self._streams, block_samples=self._block_samples, key=self._key), (self._counts,)

    def __call__(self, stream: int, place: int) -> int:
        """As `Shuffle` says."""
        epoch, offset = divmod(place, self.length)
        low, size, key = self._block(epoch, stream, (offset + self._phase(epoch, stream)) // self._block_samples)
        return self._sample(epoch, stream * self.length + low + permuted(offset - low, size, key))

    def substitutes(self, stream: int, place: int) -> Iterator[int]:
        """As `Shuffle` says."""
        epoch, offset = divmod(place, self.length)
        low, size, _ = self._block(epoch, stream, (offset + self._phase(epoch, stream)) // self._block_samples)
        if size < ENOUGH_OTHERS:
            low, size = 0, self.length
        key = mix(self._key, stream, place, REPLACE)
        for other in others(offset - low, size, key):
            yield self(stream, epoch * self.length + low + other)
        if size < ENOUGH_OTHERS:
            yield from self._of_other_streams(stream, epoch, key)

    def _of_other_streams(self, stream: int, epoch: int, key: int) -> Iterator[int]:
        """The samples of an epoch that are not in the stream's stretch, mixed."""
        first, rest = (stream + 1) * self.length, self._samples - self.length
        for attempt in range(rest):
            yield self._sample(epoch, first + permuted(attempt, rest, key))

    def blocks(self, stream: int, place: int) -> Iterator[Block]:
        """As `Shuffle` says."""
        epoch, offset = divmod(place, self.length)
        block = (offset + self._phase(epoch, stream)) // self._block_samples
        while True:
            low, size, _ = self._block(epoch, stream, block)
            first, shards = epoch * self.length + low, self._shards(epoch, stream * self.length + low, size)
            yield Block(first, first + size - 1, shards[self._counts[shards] > 0])
            block += 1
            if low + size == self.length:
                epoch, block = epoch + 1, 0

    def _phase(self, epoch: int, stream: int) -> int:
        """How much of the first block of a stream's epoch is missing."""
        return _phase(self._key, epoch, stream) % self._block_samples

    def _make_block(self, epoch: int, stream: int, block: int) -> tuple[int, int, int]:
        """(first place in the stream's epoch, places, key of their permutation)."""
        begin = block * self._block_samples - self._phase(epoch, stream)
        low, high = max(begin, 0), min(begin + self._block_samples, self.length)
        return low, high - low, mix(self._key, epoch, stream, block, BLOCK)

    def _sample(self, epoch: int, place: int) -> int:
        """What lies at a place of an epoch, counted from where its first stream begins, and around."""
        order = self._epoch(epoch)
        place = (place + order.turn) % self._samples
        return place + int(order.shift[order.ends.searchsorted(place, "right")])

    def _shards(self, epoch: int, place: int, size: int) -> np.ndarray:
        """int64[n]: those of `size` places from `place` on, as `_sample` counts them, each once."""
        order = self._epoch(epoch)
        begin = (place + order.turn) % self._samples
        end = (begin + size - 1) % self._samples
        first, last = order.ends.searchsorted([begin, end], "right")
        if begin <= end:
            return order.shards[first : last + 1]
        return np.concatenate([order.shards[first:], order.shards[: min(last + 1, first)]])

    def _epoch(self, epoch: int) -> _Epoch:
        """Made when it is first asked for, 10 ms for 100,000 shards; two are kept, as streams of a mixture do not end together."""
        found = self._epochs.get(epoch)
        if found is None:
            # Sorted raw numbers of Philox, which NumPy promises not to change
            shards = np.argsort(np.random.Philox(key=mix(self._key, epoch)).random_raw(len(self._counts)), kind="stable")
            counts = self._counts[shards]
            ends = np.cumsum(counts)
            found = _Epoch(shards, ends, self._firsts[shards] - (ends - counts), mix(self._key, epoch, TURN) % self._samples)
            self._epochs = {number: kept for number, kept in self._epochs.items() if abs(number - epoch) == 1} | {epoch: found}
        return found


@functools.lru_cache(maxsize=KEPT_BLOCKS)
def _phase(key: int, epoch: int, stream: int) -> int:
    return mix(key, epoch, stream, PHASE)
