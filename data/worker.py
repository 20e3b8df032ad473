"""A process of `data.workers`: makes parts of batches in memory that it shares with the run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from multiprocessing.connection import Connection
from multiprocessing.queues import SimpleQueue
from typing import NamedTuple

import numpy as np

from .bad import Bad
from .batch_memory import arrays_in
from .rows import Rows
from .shared_file import SharedFile

Answer = list[Bad] | Exception  # the draws that could not be used, or what went wrong


class Task(NamedTuple):
    """A part of a batch, and where the batch lies in the shared file."""

    batch: int
    part: int
    offset: int
    size: int


def work(rows: Rows, file: SharedFile, tasks: SimpleQueue[Task], answers: Connection, threads: int) -> None:
    """Takes tasks and answers with (batch, part, Answer) until it is killed. Signals are the run's to answer."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(name, signal.SIG_IGN)
    worker = _Worker(rows, file, answers)
    for _ in range(threads):
        threading.Thread(target=worker.run, args=(tasks,), daemon=True).start()
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()  # returns also where it was killed
    os._exit(1)


class _Worker:
    """What the threads of a process share."""

    def __init__(self, rows: Rows, file: SharedFile, answers: Connection):
        self._rows, self._file, self._answers = rows, file, answers
        self._sending = threading.Lock()
        self._blocks: dict[int, np.ndarray] = {}

    def run(self, tasks: SimpleQueue[Task]) -> None:
        while True:
            task = tasks.get()
            answer = self._made(task)
            with self._sending:
                self._answers.send((task.batch, task.part, answer))

    def _made(self, task: Task) -> Answer:
        try:
            out = arrays_in(self._block(task), self._rows.layout(task.batch), self._rows.count)
            return self._rows.fill(task.batch, task.part, out)
        except Exception as error:
            error.add_note(f"in a process of data.workers:\n{traceback.format_exc()}")
            return error

    def _block(self, task: Task) -> np.ndarray:
        if task.offset not in self._blocks:
            self._blocks[task.offset] = np.frombuffer(self._file.map(task.offset, task.size), np.uint8)
        return self._blocks[task.offset]
