"""What is done about a shard of the right size that is another version than the manifest says."""

from __future__ import annotations

import logging

from .manifest import Shard
from .storage import is_local

LOG = logging.getLogger("diptych.data")


def refuse_version(shard: Shard, etag: str) -> None:
    """Raises OSError."""
    raise OSError(f"{shard.url} has changed since it was indexed: it was {shard.etag} and is {etag}")


class DoubtTimes:
    """For a manifest that is not brought up to date at each start, and may have been copied with its shards: times of files may differ.

    A warning, once; what lies far away has versions that do not depend on its place, and is refused.
    """

    def __init__(self, setting: str):
        self._setting, self._said = setting, False

    def __call__(self, shard: Shard, etag: str) -> None:
        """Raises OSError."""
        if not is_local(shard.url):
            refuse_version(shard, etag)
        if not self._said:
            self._said = True
            LOG.warning(
                "%s: %s was changed or copied after it was indexed (%s, now %s); if shards were changed, "
                "index them again with `diptych data index`",
                self._setting, shard.url, shard.etag, etag,
            )  # fmt: skip
