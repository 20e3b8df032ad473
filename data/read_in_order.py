"""Samples by number for tools that go through many: where shards lie far away, several requests wait for the store at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .far_shards import far_away
from .in_order import in_order
from .sample import Sample
from .source import Source

REQUESTS = 32  # at once: at 30 ms each a thousand samples a second, where one after the other gives 33


def readers(source: Source, *, threads: int = 1) -> int:
    """Threads that should read `source`, of which `threads` could be kept busy otherwise: more where they wait for a store."""
    return max(threads, REQUESTS) if far_away(source) else threads


def read_in_order(source: Source, numbers: Iterable[int]) -> Iterator[Sample]:
    """The samples `numbers` in their order, a hundred or so in memory at a time. Raises OSError where one cannot be read."""
    threads = readers(source)
    return map(source.read, numbers) if threads == 1 else in_order(source.read, numbers, threads=threads)
