"""How long devices stand idle because the host waits for something."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax


class Idle:
    """seconds: of all `waiting` blocks, the time in which the devices had nothing to do."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._finished: Future[float] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="idle")

    def busy(self, results: Any) -> None:
        """Devices work until these arrays are ready; what was dispatched before is done by then."""
        self._finished = self._thread.submit(_when_ready, results)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """The host waits inside."""
        start = time.perf_counter()
        yield
        end, finished = time.perf_counter(), self._finished
        if finished is None:
            self.seconds += end - start
        elif finished.done():
            self.seconds += max(0.0, end - max(start, finished.result()))


def _when_ready(results: Any) -> float:
    """The time at which they are; an error of theirs is met by whoever reads them."""
    with contextlib.suppress(Exception):
        jax.block_until_ready(results)
    return time.perf_counter()
