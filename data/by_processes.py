"""Batches made ahead by processes of this host, which write rows where the run reads them: pixels go through no pipe and no copy."""

from __future__ import annotations

import dataclasses
import multiprocessing
import multiprocessing.connection
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.util import Finalize
from typing import Any

import numpy as np

from .bad import Bad
from .batch_memory import BatchMemory, Block
from .rows import Made, Reader, Rows
from .shared_file import SharedFile
from .worker import SIGNALS, Answer, Task, work

AT_ONCE = 1024  # parts that were asked for and are not made: of 36 bytes each in a pipe of 64 KiB, so that the run never waits to ask
PATIENCE = 5.0  # seconds for a killed process to go; one that waits for a disk that is gone never does


@dataclasses.dataclass(frozen=True)
class _Open:
    """A batch that is being made. answers: by part."""

    arrays: dict[str, np.ndarray]
    block: Block
    answers: dict[int, Answer] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class _Process:
    """answers: ends with the process."""

    process: SpawnProcess
    answers: Connection


class ByProcesses(Reader):
    """Each process has so many threads, and each thread takes the next part that nobody makes yet."""

    def __init__(self, rows: Rows, *, workers: int, threads: int):
        self._rows, self._next, self._ahead = rows, 0, rows.parts + workers * threads
        self._file, self._memory = SharedFile(), BatchMemory(self._new_block)
        self._open: dict[int, _Open] = {}
        self._asked = self._answered = 0
        context = multiprocessing.get_context("spawn")
        tasks, self._tasks = context.Pipe(duplex=False)
        self._turn = context.Lock()  # kept: it is found by its name, which goes with this one
        self._workers: list[_Process] = []
        # Before multiprocessing's own end, which asks processes to end by a signal that these ignore, and waits for them
        self._end = Finalize(self, _close, (self._workers, self._file), exitpriority=100)
        shared = {"file": self._file, "tasks": tasks, "turn": self._turn, "threads": threads}
        for number in range(workers):
            self._workers.append(_started(context, rows, shared, number))
        tasks.close()
        self._ask()

    def __next__(self) -> Made:
        if not self._end.still_active():
            raise ValueError("the reader is closed")
        while len(self._open[self._next].answers) < self._rows.parts:
            self._receive()
            self._ask()
        made = self._open.pop(self._next)
        self._next += 1
        self._ask()
        bad: list[Bad] = []
        for _, answer in sorted(made.answers.items()):
            if isinstance(answer, Exception):
                raise answer
            bad += answer
        return Made(made.arrays, bad)

    def close(self) -> None:
        """Ends the processes."""
        self._end()

    def _ask(self) -> None:
        """Keeps the workers busy until a batch and a bit after the one that is waited for."""
        while self._asked < min((self._next + 1) * self._rows.parts + self._ahead, self._answered + AT_ONCE):
            number, part = divmod(self._asked, self._rows.parts)
            if number not in self._open:
                self._open[number] = _Open(*self._memory.batch(self._rows.layout(number), self._rows.count))
            block = self._open[number].block
            try:
                self._tasks.send_bytes(Task(number, part, block.offset, block.size).to_bytes())
            except BrokenPipeError:  # none of them is left
                raise _ended(self._workers[0].process) from None
            self._asked += 1

    def _receive(self) -> None:
        """Waits for an answer at least."""
        ready = multiprocessing.connection.wait([worker.answers for worker in self._workers])
        for worker in self._workers:
            if worker.answers not in ready:
                continue
            try:
                number, part, answer = worker.answers.recv()
            except EOFError:
                raise _ended(worker.process) from None
            self._open[number].answers[part] = answer
            self._answered += 1

    def _new_block(self, size: int) -> Block:
        offset = self._file.grow(size)
        return Block(self._file.map(offset, size), size, offset)


def _started(context: SpawnContext, rows: Rows, shared: dict[str, Any], number: int) -> _Process:
    """With the run's signals blocked: one that comes before the process ignores them would end it."""
    ours, theirs = context.Pipe(duplex=False)
    given = shared | {"answers": theirs}
    process = context.Process(target=work, args=(rows,), kwargs=given, name=f"data-worker-{number}", daemon=True)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    return _Process(process, ours)


def _ended(process: SpawnProcess) -> ChildProcessError:
    process.join(PATIENCE)
    return ChildProcessError(
        f"{process.name}, a process of data.workers, ended with exit code {process.exitcode}; -9 is often out of memory"
    )


def _close(workers: Sequence[_Process], file: SharedFile) -> None:
    for worker in workers:
        worker.process.kill()
    for worker in workers:
        worker.process.join(PATIENCE)
        worker.answers.close()
    file.close()
