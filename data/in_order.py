"""A function over many items on several threads, its values in order, and few of them at a time in memory."""

from __future__ import annotations

import collections
import concurrent.futures
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
V = TypeVar("V")
AHEAD = 4  # items a thread


def in_order(function: Callable[[T], V], items: Iterable[T], *, threads: int) -> Iterator[V]:
    """`function` of each item, in the order of the items; what it raises is raised in its place."""
    waiting = iter(items)
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        running = collections.deque(pool.submit(function, item) for item in itertools.islice(waiting, AHEAD * threads))
        try:
            while running:
                value = running.popleft().result()
                running.extend(pool.submit(function, item) for item in itertools.islice(waiting, 1))
                yield value
        finally:
            for future in running:
                future.cancel()
