"""The shards that a run is about to read, fetched ahead of it and dropped behind it. Nothing ever waits for them: see Index."""

from __future__ import annotations

import collections
import contextlib
import heapq
import logging
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..errors import UserError
from .cache_folder import NoRoom
from .manifest import Shard
from .order import Use
from .shard_cache import Closed, ShardCache
from .storage import is_local

logger = logging.getLogger(__name__)

POLL = 2.0  # seconds after which a lane looks whether another process of the host has made room
JOIN = 5.0  # seconds; what still waits for its store then ends with the process
AHEAD = 8  # uses of one shard that are looked ahead: where all shards fit, the order is known without end


class Need(NamedTuple):
    """A shard that is read between two positions of the run. url, size, etag: as the manifest has them."""

    first: int
    last: int
    url: str
    size: int
    etag: str | None


def needs(uses: Iterator[Use], shards: Sequence[Sequence[Shard]]) -> Iterator[Need]:
    """Those of `uses` whose shard is far away. shards: of each source; an empty sequence for one that has none."""
    for use in uses:
        if shards[use.source]:
            shard = shards[use.source][use.shard]
            if not is_local(shard.url):
                yield Need(use.first, use.last, shard.url, shard.bytes, shard.etag)


class Prefetcher:
    """Keeps a cache filled ahead of the run, in order of first use, within its limit.

    A shard is released once the run is past its last use. Where the shards of the moment do not fit together, those that came first stay,
    and the others are read by ranges at their store; as are all until they have arrived.
    """

    def __init__(self, cache: ShardCache, coming: Iterator[Need], *, lanes: int = 2):
        """coming: by first use, perhaps endless; only threads of this object touch it. lanes: shards that arrive at once."""
        self._cache, self._coming = cache, coming
        self._changed, self._turn = threading.Condition(), threading.Lock()
        self._position, self._closed, self._waiting, self._released = 0, False, 0, 0
        self._failure: Exception | None = None
        self._ends: list[tuple[int, str]] = []  # a heap of (last, url)
        self._uses: collections.Counter[str] = collections.Counter()
        self._arriving: set[str] = set()
        self._lanes = [threading.Thread(target=self._run, name=f"shard-lane-{lane}", daemon=True) for lane in range(lanes)]
        for lane in self._lanes:
            lane.start()

    def advance(self, position: int) -> None:
        """Says that the run is done with all positions before `position`.

        Raises OSError where a shard could not be fetched, UserError where the cache's disk is full.
        """
        with self._changed:
            if isinstance(self._failure, UserError):
                raise self._failure
            if self._failure is not None:
                raise OSError(f"fetching ahead failed: {self._failure}") from self._failure
            self._position = position
            while self._ends and self._ends[0][0] < position:
                self._drop(heapq.heappop(self._ends)[1])
            self._changed.notify_all()

    def close(self) -> None:
        """Ends the threads and closes the cache, whose shards stay on disk for the next process."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._cache.close()
        for lane in self._lanes:
            lane.join(JOIN)

    def _run(self) -> None:
        try:
            while need := self._next():
                self._fetch(need)
        except Closed:
            pass
        except Exception as error:
            with self._changed:
                self._failure = self._failure or error
                self._closed = True
                self._changed.notify_all()

    def _next(self) -> Need | None:
        """The next shard to fetch; waits while there is nothing to do. None: no more."""
        with self._turn:  # one lane at a time, so that shards keep their order; what is coming is reckoned without `_changed`
            while not self._closed and (need := next(self._coming, None)):
                if self._accepted(need):
                    return need
        return None

    def _accepted(self, need: Need) -> bool:
        """Notes a need once its turn has come; whether it has to be fetched."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._past(need) or not (self._waiting or self._uses[need.url] >= AHEAD))
            if self._closed or self._past(need) or not self._cache.fits(need.size):
                return False
            self._uses[need.url] += 1
            heapq.heappush(self._ends, (need.last, need.url))
            if self._uses[need.url] > 1 or need.url in self._arriving:
                return False
            self._arriving.add(need.url)
            return True

    def _past(self, need: Need) -> bool:
        return need.last < self._position

    def _fetch(self, need: Need) -> None:
        there = False
        while not there and self._wanted(need):
            released = self._released
            try:
                self._cache.fetch(need.url, need.size, need.etag)
                there = True
            except NoRoom as error:
                logger.debug("%s", error)
                self._wait_for_room(need, released)
        with self._changed:
            self._arriving.discard(need.url)
            if there and not self._uses[need.url]:
                self._release(need.url)

    def _wanted(self, need: Need) -> bool:
        with self._changed:
            return not self._closed and self._uses[need.url] > 0

    def _wait_for_room(self, need: Need, released: int) -> None:
        """While one lane waits, no other takes a shard that is used later."""
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: self._closed or self._released != released or not self._uses[need.url], POLL)
            self._waiting -= 1
            self._changed.notify_all()

    def _drop(self, url: str) -> None:
        self._uses[url] -= 1
        if not self._uses[url]:
            del self._uses[url]
            if url not in self._arriving:
                self._release(url)

    def _release(self, url: str) -> None:
        with contextlib.suppress(Closed):
            self._cache.release(url)
        self._released += 1
        self._changed.notify_all()
