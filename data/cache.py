"""Samples that were loaded before, up to a number of bytes."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class BoundedCache(Generic[K, T]):
    """Keeps what it is given until `limit` bytes are full; then it takes nothing more. Safe to share between threads.

    Another process gets an empty one.
    """

    def __init__(self, limit: int):
        self._limit = self._free = limit
        self._items: dict[K, T] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._limit,)

    def get(self, key: K) -> T | None:
        """What was put under `key`, else None."""
        return self._items.get(key)

    def put(self, key: K, item: T, *, size: int) -> None:
        """Keeps `item`, of `size` bytes, if there is room."""
        with self._lock:
            if size <= self._free and key not in self._items:
                self._items[key] = item
                self._free -= size
