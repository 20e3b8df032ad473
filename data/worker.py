"""A process of `data.workers`: makes parts of batches in memory that it shares with the run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import struct
import threading
import traceback
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Lock
from typing import NamedTuple

import numpy as np

from ..errors import UserError
from .bad import Bad
from .batch_memory import arrays_in
from .rows import Rows
from .shared_file import SharedFile

Answer = list[Bad] | Exception  # the draws that could not be used, or what went wrong
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)  # the run's to answer
_TASK = struct.Struct("<4q")


class Task(NamedTuple):
    """A part of a batch, and where the batch lies in the shared file."""

    batch: int
    part: int
    offset: int
    size: int

    def to_bytes(self) -> bytes:
        """32 bytes."""
        return _TASK.pack(*self)


def work(rows: Rows, *, file: SharedFile, tasks: Connection, turn: Lock, answers: Connection, threads: int) -> None:
    """Takes tasks and answers with (batch, part, Answer) until it is killed, or the run is gone. turn: to take a task.

    Begins with SIGNALS blocked, as they were when it was started.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    maker = _Maker(rows, file=file, tasks=tasks, turn=turn, answers=answers)
    for _ in range(threads):
        threading.Thread(target=maker.run, daemon=True).start()
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()  # returns also where it was killed
    os._exit(1)


class _Maker:
    """What the threads of a process share."""

    def __init__(self, rows: Rows, *, file: SharedFile, tasks: Connection, turn: Lock, answers: Connection):
        self._rows, self._file, self._tasks, self._turn, self._answers = rows, file, tasks, turn, answers
        self._sending = threading.Lock()
        self._blocks: dict[int, np.ndarray] = {}

    def run(self) -> None:
        """Never returns: without one of its threads the process ends, which the run sees, and would else wait for."""
        try:
            while True:
                with self._turn:
                    task = Task(*_TASK.unpack(self._tasks.recv_bytes()))
                answer = self._made(task)
                with self._sending:
                    self._answers.send((task.batch, task.part, answer))
        finally:
            os._exit(1)

    def _made(self, task: Task) -> Answer:
        try:
            out = arrays_in(self._block(task), self._rows.layout(task.batch), self._rows.count)
            return self._rows.fill(task.batch, task.part, out)
        except BaseException as error:  # a panic of a library in Rust is no Exception
            return _that_travels(error)

    def _block(self, task: Task) -> np.ndarray:
        if task.offset not in self._blocks:
            self._blocks[task.offset] = np.frombuffer(self._file.map(task.offset, task.size), np.uint8)
        return self._blocks[task.offset]


def _that_travels(error: BaseException) -> Exception:
    """What the run answers to keeps its kind and its words; all else becomes its text. An error as it is may not survive a pipe."""
    told = "in a process of data.workers:\n" + "".join(traceback.format_exception(error))
    for kind in (UserError, OSError):
        if isinstance(error, kind):
            said = kind(str(error))
            said.add_note(told)
            return said
    return RuntimeError(told)
