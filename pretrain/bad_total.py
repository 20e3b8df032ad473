"""The bad samples of a whole run, the same in all its processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..data.bad import BadCounts, BadLog
from .feed import Feed
from .job import Job


class BadTotal:
    """Counts over all processes and all starts of a run the bad draws of the batches that steps were made of, and judges them."""

    def __init__(
        self,
        log: BadLog,
        *,
        feed: Feed,
        job: Job,
        before: Mapping[str, Any] | None,
        start: int,
        batch_size: int,
        max_fraction: float,
    ):
        """log: of the stream that `feed` draws from. before: `state` at the checkpoint that the run goes on from, `start` samples on."""
        self._log, self._feed, self._job = log, feed, job
        self._start, self._batch_size, self._max_fraction = start, batch_size, max_fraction
        self.counts = BadCounts(before)

    def read(self) -> int:
        """The total up to the last batch that a step was made of. To be called by all processes after the same step.

        UserError, in all of them, where it is above `max_fraction` of the draws.
        """
        samples = self._start + self._feed.given * self._batch_size
        for counts in self._job.gather(self._log.take(samples)):
            self.counts.add(counts)
        self.counts.judge(samples=samples, max_fraction=self._max_fraction)
        return self.counts.count
