"""Several sources in exact proportion: whole numbers of a period's places, rotated for each (stream, period). No floats, no state."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from ..errors import UserError
from .order import Drawn, Shuffle, Use
from .permutation import mix

PERIOD = 10_000  # shares are exact to 1 / PERIOD
KEPT = 4096


@dataclasses.dataclass(frozen=True)
class Segment:
    """From position `first` of the run on, sources have these weights."""

    first: int
    weights: Mapping[str, float]


class _Schedule:
    """quotas: of a period, how many places each source has. part: which source has a place. rank: how many places of its own come before.

    places: of each source, its places.
    """

    def __init__(self, quotas: Sequence[int]):
        self.quotas, self.period = tuple(quotas), sum(quotas)
        # Place i of c lies at (2i + 1) / 2c of the period; compared as whole numbers, so that no rounding can differ between machines
        keys = [((2 * i + 1) * self.period**2 // (2 * quota), part) for part, quota in enumerate(quotas) for i in range(quota)]
        self.part = [part for _, part in sorted(keys)]
        self.places: list[list[int]] = [[] for _ in quotas]
        self.rank = []
        for place, part in enumerate(self.part):
            self.rank.append(len(self.places[part]))
            self.places[part].append(place)

    def before(self, part: int, place: int) -> int:
        """How many of the places before `place` are of `part`."""
        return bisect.bisect_left(self.places[part], place)


def quotas(weights: Mapping[str, float], *, setting: str = "data.mixture") -> list[int]:
    """Places of a period for each source, in order of the names, by largest remainders.

    Raises UserError: a weight below 0, none above 0, or one that would get no place.
    """
    names = sorted(weights)
    if any(weights[name] < 0 for name in names) or not any(weights.values()):
        raise UserError(f"{setting} has the weights {dict(weights)}; accepted are numbers from 0, at least one of them above 0")
    shares = [Fraction(weights[name]) * PERIOD / sum(map(Fraction, weights.values())) for name in names]
    counts = [math.floor(share) for share in shares]
    for index in sorted(range(len(names)), key=lambda index: (counts[index] - shares[index], index))[: PERIOD - sum(counts)]:
        counts[index] += 1
    for name, count in zip(names, counts):
        if weights[name] and not count:
            raise UserError(f"{setting}.{name}.weight = {weights[name]} is less than 1/{PERIOD} of all; accepted is 0, or more than that")
    return counts


class Mixture:
    """An order over the sources `parts`, numbered in order of their names; each part's own order goes on wherever the weights change."""

    def __init__(self, parts: Mapping[str, Shuffle], *, streams: int, segments: Sequence[Segment], key: int):
        """segments: rising from position 0 at multiples of `streams`; all with the names of `parts`. key: 64 bits."""
        self.streams, self._key = streams, key
        self._parts = [parts[name] for name in sorted(parts)]
        self._schedules = [_Schedule(quotas(segment.weights)) for segment in segments]
        self._starts = [segment.first // streams for segment in segments]
        self._cache()

    def _cache(self) -> None:
        self._rotation = functools.lru_cache(KEPT)(self._make_rotation)
        self._drawn = functools.lru_cache(KEPT)(self._count_drawn)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name not in ("_rotation", "_drawn")}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._cache()

    def __call__(self, position: int) -> Drawn:
        """As `Order` says."""
        part, stream, place = self._find(position)
        return Drawn(part, self._parts[part](stream, place))

    def substitutes(self, position: int) -> Iterator[Drawn]:
        """As `Order` says."""
        part, stream, place = self._find(position)
        return (Drawn(part, sample) for sample in self._parts[part].substitutes(stream, place))

    def uses(self, streams: Sequence[int], start: int) -> Iterator[Use]:
        """As `Order` says."""
        return heapq.merge(*(self._uses(part, stream, start) for part in range(len(self._parts)) for stream in streams))

    def drawn(self, stream: int, place: int) -> tuple[int, ...]:
        """How many samples of each part a stream has drawn before `place` of it."""
        segment = bisect.bisect_right(self._starts, place) - 1
        return self._drawn(segment, stream, place - self._starts[segment])

    def _find(self, position: int) -> tuple[int, int, int]:
        """(part, stream, place in the part's stream) at a position of the run."""
        place, stream = divmod(position, self.streams)
        segment = bisect.bisect_right(self._starts, place) - 1
        schedule = self._schedules[segment]
        period, offset = divmod(place - self._starts[segment], schedule.period)
        rotation = self._rotation(segment, stream, period)
        slot = (offset + rotation) % schedule.period
        part = schedule.part[slot]
        quota = schedule.quotas[part]
        rank = (schedule.rank[slot] - schedule.before(part, rotation)) % quota
        return part, stream, self._drawn(segment, stream, 0)[part] + period * quota + rank

    def _position(self, part: int, stream: int, place: int) -> int | None:
        """Where in the run a place of a part's stream is drawn; None where never."""
        segments = range(len(self._starts))
        segment = bisect.bisect_right(segments, place, key=lambda segment: self._drawn(segment, stream, 0)[part]) - 1
        schedule = self._schedules[segment]
        quota = schedule.quotas[part]
        if not quota:
            return None
        period, rank = divmod(place - self._drawn(segment, stream, 0)[part], quota)
        rotation = self._rotation(segment, stream, period)
        slot = schedule.places[part][(rank + schedule.before(part, rotation)) % quota]
        offset = (slot - rotation) % schedule.period
        return (self._starts[segment] + period * schedule.period + offset) * self.streams + stream

    def _uses(self, part: int, stream: int, start: int) -> Iterator[Use]:
        """One part's uses in one stream."""
        place = -(-(start - stream) // self.streams)  # the first of the stream at or behind `start`
        for block in self._parts[part].blocks(stream, self.drawn(stream, place)[part]):
            first, last = self._position(part, stream, block.first), self._position(part, stream, block.last)
            if first is None:
                return
            if last is None:
                last = self._position(part, stream, self._drawn(len(self._starts) - 1, stream, 0)[part] - 1)
            assert last is not None  # it was drawn
            yield from (Use(max(first, start), last, part, shard) for shard in block.shards.tolist())

    def _make_rotation(self, segment: int, stream: int, period: int) -> int:
        return mix(self._key, self._starts[segment], stream, period) % self._schedules[segment].period

    def _count_drawn(self, segment: int, stream: int, places: int) -> tuple[int, ...]:
        """Samples of each part that a stream has drawn after `places` places of a segment, all earlier segments included."""
        before = (0,) * len(self._parts)
        if segment:
            before = self._drawn(segment - 1, stream, self._starts[segment] - self._starts[segment - 1])
        if not places:
            return before
        schedule = self._schedules[segment]
        periods, rest = divmod(places, schedule.period)
        begin = self._rotation(segment, stream, periods)
        end = begin + rest
        around = max(end - schedule.period, 0)
        return tuple(
            drawn
            + periods * quota
            + schedule.before(part, min(end, schedule.period))
            - schedule.before(part, begin)
            + schedule.before(part, around)
            for part, (drawn, quota) in enumerate(zip(before, schedule.quotas))
        )
