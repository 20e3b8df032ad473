"""Bad samples: the exception for one, what is told of each, and the count of all that a job met."""

from __future__ import annotations

import collections
import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import UserError

LOG = logging.getLogger("diptych.data")
JUDGED_AFTER = 1000  # draws
IN_A_ROW = 100  # bad draws that end a run
WORST_SHARDS = 3
KEPT_SHARDS = 1000  # that a checkpoint names
NAMED = 1000  # bad samples that a stream logs
KEPT_BATCHES = 16  # that are counted apart; a feed is two ahead of the steps

Counts = Mapping[str, Mapping[str, int]]


class BadSample(Exception):
    """The content of one sample cannot be used: a broken image, no caption. Never an I/O error, which fails the run instead."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class Bad(NamedTuple):
    """A bad draw, at `position` of the run."""

    position: int
    shard: str
    key: str
    reason: str


@dataclasses.dataclass(frozen=True)
class _Batch:
    """The bad draws of a batch: the highest position among them, and shard -> reason -> times."""

    last: int
    counts: Counts


class BadLog:
    """The bad draws of the batches that a stream gave out; each sample is logged once, up to 1,000 of them."""

    def __init__(self) -> None:
        self._batches: list[_Batch] = []
        self._named: set[tuple[str, str]] = set()

    def add(self, draws: Sequence[Bad]) -> None:
        """Those of one more batch."""
        if not draws:
            return
        self._batches.append(_Batch(max(bad.position for bad in draws), count_bad(draws)))
        if len(self._batches) > KEPT_BATCHES:
            first, second, *later = self._batches
            self._batches = [_Batch(second.last, add_counts([first.counts, second.counts])), *later]
        for bad in draws:
            self._name(bad)

    def take(self, position: int) -> dict[str, dict[str, int]]:
        """Shard -> reason -> bad draws before `position` of the run that were not taken before: a batch made ahead is not counted yet.

        position: where one of the 16 latest batches begins or ends.
        """
        taken = [batch.counts for batch in self._batches if batch.last < position]
        self._batches = [batch for batch in self._batches if batch.last >= position]
        return add_counts(taken)

    def _name(self, bad: Bad) -> None:
        if len(self._named) < NAMED and (bad.shard, bad.key) not in self._named:
            self._named.add((bad.shard, bad.key))
            LOG.warning("bad sample %s in %s: %s; another one takes its place", bad.key, bad.shard, bad.reason)
            if len(self._named) == NAMED:
                LOG.warning("these were %d bad samples; others are counted, and not named any more", NAMED)


class BadCounts:
    """Bad draws of a whole job by shard and reason, over all its processes and starts."""

    def __init__(self, saved: Mapping[str, Any] | None = None):
        """saved: what `state` gave."""
        self._shards: dict[str, collections.Counter[str]] = {}
        self.count = 0
        if saved:
            self.add(saved["shards"])
            self.count = saved["count"]

    def add(self, counts: Counts) -> None:
        """More bad draws, as `BadLog.take` gives them."""
        for shard, reasons in counts.items():
            self._shards.setdefault(shard, collections.Counter()).update(reasons)
            self.count += sum(reasons.values())

    def judge(self, *, samples: int, max_fraction: float) -> None:
        """UserError where more than `max_fraction` of the draws were bad, as soon as there are 1,000: `samples` good ones and the bad."""
        draws = samples + self.count
        if draws >= JUDGED_AFTER and self.count > max_fraction * draws:
            raise UserError(
                f"data.max_bad_fraction = {max_fraction} is exceeded: {self.count} of {draws} samples were bad, "
                f"most in {self.worst()}; accepted are shards with fewer bad samples, or a larger data.max_bad_fraction"
            )

    def worst(self) -> str:
        """The shards with most bad draws, in words."""
        return ", ".join(f"{shard} ({reasons.total()})" for shard, reasons in self._ranked()[:WORST_SHARDS])

    def state(self) -> dict[str, Any]:
        """{"count", "shards": {shard: {reason: bad draws}}} of the 1,000 worst shards."""
        return {"count": self.count, "shards": {shard: dict(sorted(reasons.items())) for shard, reasons in self._ranked()[:KEPT_SHARDS]}}

    def _ranked(self) -> list[tuple[str, collections.Counter[str]]]:
        return sorted(self._shards.items(), key=lambda item: (-item[1].total(), item[0]))


def count_bad(draws: Iterable[Bad]) -> dict[str, dict[str, int]]:
    """Shard -> reason -> times."""
    found: dict[str, dict[str, int]] = {}
    for bad in draws:
        reasons = found.setdefault(bad.shard, {})
        reasons[bad.reason] = reasons.get(bad.reason, 0) + 1
    return found


def add_counts(parts: Iterable[Counts]) -> dict[str, dict[str, int]]:
    """Shard -> reason -> times in all of `parts`."""
    found: dict[str, dict[str, int]] = {}
    for shard, reasons in (item for counts in parts for item in counts.items()):
        sums = found.setdefault(shard, {})
        for reason, times in reasons.items():
            sums[reason] = sums.get(reason, 0) + times
    return found
