"""What the hosts of a job must have alike for a sample to be the same whichever of them makes it."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import UserError
from .job import Job


def check_hosts(job: Job, libraries: Mapping[str, str]) -> None:
    """Raises UserError on all of them where one has another version of a library. libraries: package -> version, never empty."""
    first, *others = job.gather(dict(libraries))
    for process, other in enumerate(others, start=1):
        for name in sorted(first.keys() | other.keys()):
            if first.get(name) != other.get(name):
                raise UserError(
                    f"{name} is {first.get(name)} in process 0 and {other.get(name)} in process {process}, so that the same sample would "
                    "differ between hosts; accepted is one version on all of them"
                )
