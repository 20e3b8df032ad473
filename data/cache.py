"""Samples that were loaded before, up to a number of bytes."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class BoundedCache(Generic[T]):
    """Keeps what it is given until `limit` bytes are full; then it takes nothing more. Safe to share between threads."""

    def __init__(self, limit: int):
        self._free = limit
        self._items: dict[int, T] = {}
        self._lock = threading.Lock()

    def get(self, key: int) -> T | None:
        """What was put under `key`, else None."""
        return self._items.get(key)

    def put(self, key: int, item: T, *, size: int) -> None:
        """Keeps `item`, of `size` bytes, if there is room."""
        with self._lock:
            if size <= self._free and key not in self._items:
                self._items[key] = item
                self._free -= size
