"""The shards that a process has open: one number of files for all of its indices, however many sources a mixture has."""

from __future__ import annotations

import functools
import resource
from collections.abc import Hashable

from .kept import Kept
from .storage import Blob

OPEN_FILES = 256
SHARE = 4  # of the files that the process may open, so many times more


@functools.lru_cache(maxsize=1)
def open_shards(process: int) -> Kept[Hashable, Blob]:
    """The shards read last; a forked process gets some of its own."""
    del process
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return Kept(OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, max(most // SHARE, 1)))
