"""Batches made ahead by processes of this host, which write rows where the run reads them: pixels go through no pipe and no copy."""

from __future__ import annotations

import dataclasses
import multiprocessing
import multiprocessing.connection
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.util import Finalize

import numpy as np

from .bad import Bad
from .batch_memory import BatchMemory, Block, arrays_in, bytes_of
from .rows import Made, Reader, Rows
from .shared_file import SharedFile
from .worker import Answer, Task, work

AT_ONCE = 1024  # parts that were asked for and are not made: so many tasks fit into a pipe, and the run never waits to ask


@dataclasses.dataclass(frozen=True)
class _Open:
    """A batch that is being made. answers: by part."""

    batch: dict[str, np.ndarray]
    block: Block
    answers: dict[int, Answer] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class _Worker:
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
        self._tasks = context.SimpleQueue()
        self._workers: list[_Worker] = []
        # Before multiprocessing's own end, which asks processes to end by a signal that these ignore, and waits for them
        self._end = Finalize(self, _close, (self._workers, self._file), exitpriority=100)
        for number in range(workers):
            ours, theirs = context.Pipe(duplex=False)
            given = (rows, self._file, self._tasks, theirs, threads)
            process = context.Process(target=work, args=given, name=f"data-worker-{number}", daemon=True)
            process.start()
            theirs.close()  # so that `ours` ends with the process
            self._workers.append(_Worker(process, ours))
        self._ask()

    def __next__(self) -> Made:
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
        return Made(made.batch, bad)

    def close(self) -> None:
        """Ends the processes."""
        self._end()

    def _ask(self) -> None:
        """Keeps the workers busy until a batch and a bit after the one that is waited for."""
        while self._asked < min((self._next + 1) * self._rows.parts + self._ahead, self._answered + AT_ONCE):
            number, part = divmod(self._asked, self._rows.parts)
            if number not in self._open:
                self._open[number] = self._new_batch(number)
            block = self._open[number].block
            self._tasks.put(Task(number, part, block.offset, block.size))
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

    def _new_batch(self, number: int) -> _Open:
        layout = self._rows.layout(number)
        lease = self._memory.take(bytes_of(layout, self._rows.count))
        return _Open(arrays_in(np.asarray(lease), layout, self._rows.count), lease.block)

    def _new_block(self, size: int) -> Block:
        offset = self._file.grow(size)
        return Block(self._file.map(offset, size), size, offset)


def _ended(process: SpawnProcess) -> ChildProcessError:
    process.join(1)
    return ChildProcessError(
        f"{process.name}, a process of data.workers, ended with exit code {process.exitcode}; -9 is often out of memory"
    )


def _close(workers: Sequence[_Worker], file: SharedFile) -> None:
    for worker in workers:
        worker.process.kill()
    for worker in workers:
        worker.process.join()
        worker.answers.close()
    file.close()
