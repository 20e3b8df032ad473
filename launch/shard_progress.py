"""How far the reading of shards is: a bar on a terminal, a line every ten seconds in a log."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from ..data.manifest import Shard

EVERY = 10.0  # seconds between lines


class ShardProgress:
    """Context manager; `begin` and `done` are what Indexing calls. read: shards that were read so far."""

    def __init__(self) -> None:
        self.read = self._samples = self._todo = 0
        self._start = self._said = time.monotonic()
        self._lock = threading.Lock()
        columns = (
            TextColumn("reading headers"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
        self._task = self._bar.add_task("", total=None, rate="")

    def __enter__(self) -> ShardProgress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def begin(self, todo: int, total: int) -> None:
        """Before the first shard: how many of all have to be read."""
        self._todo, self._start = todo, time.monotonic()
        self._bar.update(self._task, total=todo)
        if self._bar.disable:
            print(f"reading the headers of {todo} of {total} shards", file=sys.stderr)

    def done(self, shard: Shard) -> None:
        """After each shard, in any thread."""
        with self._lock:
            self.read, self._samples = self.read + 1, self._samples + shard.samples
            seconds = max(time.monotonic() - self._start, 1e-9)
            rate = f"{self.read / seconds:,.0f} shards/s, {self._samples / seconds:,.0f} samples/s"
            self._bar.update(self._task, completed=self.read, rate=rate)
            if self._bar.disable and time.monotonic() > self._said + EVERY:
                self._said = time.monotonic()
                print(f"{self.read} of {self._todo} shards, {rate}", file=sys.stderr)
