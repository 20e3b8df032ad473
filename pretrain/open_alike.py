"""The samples of a run, the same on all hosts: one process looks at the shards first, then the others do, and all compare."""

from __future__ import annotations

import socket

import jax

from ..data.alike import first_difference, outline
from ..data.open_sources import open_sources
from ..data.source import Source
from ..data.spec import DataSpec
from ..errors import UserError
from .job import Job

SECONDS = 6 * 3600  # that shards may be read for: 100,000 on a store take minutes where it is fast


def open_alike(spec: DataSpec, *, job: Job) -> dict[str, Source]:
    """As `open_sources`; where the cache folder is shared, process 0 alone reads headers, and the others find what it kept.

    Raises UserError, in all processes: what `open_sources` says on any of them, or how the first that has other samples differs.
    """
    opened: dict[str, Source] = {}

    def lead() -> dict[str, object]:
        opened.update(open_sources(spec))
        return outline(opened)

    first = job.agree(lead, seconds=SECONDS)
    problem = None
    if not opened:
        try:
            opened.update(open_sources(spec))
            problem = first_difference(opened, first)
        except (UserError, OSError) as error:
            problem = str(error)
    host = f"process {jax.process_index()} ({socket.gethostname()})"
    told = job.gather(problem and f"{host} has other data than process 0: {problem}", seconds=SECONDS)
    if told:
        more = f" ({len(told)} processes differ)" if len(told) > 1 else ""
        raise UserError(f"{told[0]}{more}; accepted are the same shards on all hosts")
    return opened
