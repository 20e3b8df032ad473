"""A worker process of the loader: what Grain 0.2.18 leaves to its callers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

from absl import flags


def start_worker(number: int, workers: int) -> None:
    """Runs first in each worker: signals are the main process's to answer, and a worker does not outlive it."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(name, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, name="parent", daemon=True).start()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()  # returns also where it was killed
        os._exit(1)


def mark_flags_as_parsed() -> None:
    """Grain reads absl's flags when it starts a worker, and raises outside of `absl.app`."""
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
