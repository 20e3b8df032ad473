"""What was made lately, up to a number of things."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """Keeps the `limit` values used last; safe to share between threads, of which one makes a value and the others wait for it."""

    def __init__(self, limit: int):
        self._limit = limit
        self._values: dict[K, _Value[V]] = {}
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of `key`, made if it is not there. What `make` raises is raised, and nothing is kept."""
        with self._lock:
            value = self._values.pop(key, None) or _Value()
            self._values[key] = value
            if len(self._values) > self._limit:
                del self._values[next(iter(self._values))]
        if value.made is None:
            with value.lock:
                if value.made is None:
                    value.made = make()
        return value.made


class _Value(Generic[V]):
    def __init__(self) -> None:
        self.made: V | None = None
        self.lock = threading.Lock()
