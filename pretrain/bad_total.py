"""The bad samples of a whole run."""

from __future__ import annotations

from ..data.bad import BadSamples
from .job import Job


class BadTotal:
    """Counts over all processes and all starts of a run; batches that were made ahead and thrown away at a stop are counted again."""

    def __init__(self, bad: BadSamples, *, job: Job, before: int):
        """before: counted up to the checkpoint that the run goes on from."""
        self._bad, self._job, self._before, self._told = bad, job, before, 0

    def read(self) -> int:
        """The total as it stands; to be called by all processes now and then, as each tells its own then."""
        new = self._bad.count - self._told
        self._told += new
        return self._before + self._job.add("bad_samples", new)
