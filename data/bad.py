"""Bad samples: the exception for one, and the count of all that a run met."""

from __future__ import annotations

import collections
import logging
import threading
from collections.abc import Mapping

from ..errors import UserError

LOG = logging.getLogger("diptych.data")
JUDGED_AFTER = 1000
WORST_SHARDS = 3


class BadSample(Exception):
    """The content of one sample cannot be used: a broken image, no caption. Never an I/O error, which fails the run instead."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class BadSamples:
    """Counts the bad samples of a run, of all threads; each (shard, key, reason) is logged once.

    count: bad draws. draws: all draws, substitutes included.
    """

    def __init__(self, *, max_fraction: float):
        self._max_fraction = max_fraction
        self._lock = threading.Lock()
        self._seen: collections.Counter[tuple[str, str, str]] = collections.Counter()
        self.count = 0
        self.draws = 0

    def good(self) -> None:
        """Counts one good draw."""
        with self._lock:
            self.draws += 1

    def bad(self, shard: str, key: str, reason: str) -> None:
        """Counts one bad draw; UserError where more than `max_fraction` of at least 1,000 draws were bad."""
        with self._lock:
            self.draws += 1
            self.count += 1
            self._seen[shard, key, reason] += 1
            first = self._seen[shard, key, reason] == 1
            failed = self.draws >= JUDGED_AFTER and self.count > self._max_fraction * self.draws
        if first:
            LOG.warning("bad sample %s in %s: %s; another one takes its place", key, shard, reason)
        if failed:
            raise UserError(
                f"data.max_bad_fraction = {self._max_fraction} is exceeded: {self.count} of {self.draws} samples were bad, "
                f"most in {self.worst()}; accepted are shards with fewer bad samples, or a larger data.max_bad_fraction"
            )

    def worst(self) -> str:
        """The shards with most bad draws, in words."""
        shards: collections.Counter[str] = collections.Counter()
        for (shard, _, _), times in self.seen.items():
            shards[shard] += times
        return ", ".join(f"{shard} ({times})" for shard, times in shards.most_common(WORST_SHARDS))

    @property
    def seen(self) -> Mapping[tuple[str, str, str], int]:
        """Times that each (shard, key, reason) was drawn."""
        with self._lock:
            return dict(self._seen)
