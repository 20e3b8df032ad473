"""Worker processes: what goes wrong in one is raised here, and none outlives its parent."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from diptych import UserError
from diptych.data.by_processes import ByProcesses
from diptych.data.row_layout import Field

SCRIPT = """
import os, sys
import numpy as np
from diptych.data.by_processes import ByProcesses
from diptych.data.row_layout import Field

class Rows:
    count, parts = 1, 1

    def layout(self, batch):
        return {"pid": Field((), np.dtype(np.int64))}

    def fill(self, batch, part, out):
        out["pid"][:] = os.getpid()
        return []

if __name__ == "__main__":
    print(next(ByProcesses(Rows(), workers=1, threads=1)).batch["pid"][0], flush=True)
    sys.stdin.read()
"""


def alive(pid):
    path = Path(f"/proc/{pid}/stat")
    return path.exists() and path.read_text().rpartition(")")[2].split()[0] != "Z"


def test_signals_are_the_parents_and_no_worker_outlives_it(tmp_path):
    script = tmp_path / "stream.py"
    script.write_text(SCRIPT)
    parent = subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(worker, number)
    time.sleep(0.2)
    assert alive(worker)
    parent.kill()
    parent.wait()
    end = time.monotonic() + 20
    while alive(worker):
        assert time.monotonic() < end, "the worker goes on without its parent"
        time.sleep(0.05)


def test_errors_in_a_worker_are_raised_here(shards, make_stream, tmp_path):
    stream = make_stream(shards(bad={number: {"txt": None} for number in range(12)}, count=12), workers=1, threads=1)
    with pytest.raises(UserError, match=r"12 in a row cannot be used at position 0 of the run"):
        next(stream)
    stream = make_stream(shards(), workers=1, threads=1)
    for shard in range(3):
        os.truncate(tmp_path / f"s-{shard}.tar", 0)
    with pytest.raises(OSError, match="has changed since it was indexed"):
        next(stream)


class Panic(BaseException):
    """As a library in Rust raises it."""


class Unsendable(Exception):
    """Cannot be made anew of what it says."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


class Failing:
    """Batch k fails in the k-th way."""

    count = parts = 1

    def layout(self, batch):
        return {"number": Field((), np.dtype(np.int64))}

    def fill(self, batch, part, out):
        ways = (OSError(5, "as it is"), Panic("as its text"), Unsendable("one", "two"), ValueError("holds", threading.Lock()))
        if batch < len(ways):
            raise ways[batch]
        out["number"][:] = batch
        return []


def test_whatever_a_worker_raises_is_raised_here():
    reader = ByProcesses(Failing(), workers=1, threads=1)
    for kind, said in ((OSError, "as it is"), (RuntimeError, "Panic: as its text"), (RuntimeError, "Unsendable: one and two")):
        with pytest.raises(kind, match=said):
            next(reader)
    with pytest.raises(RuntimeError, match=r"ValueError: .*holds"):
        next(reader)
    assert next(reader).batch["number"].tolist() == [4]
    reader.close()
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        next(reader)


def test_a_worker_that_is_killed_ends_the_stream(shards, make_stream):
    stream = make_stream(shards(), workers=2, threads=1)
    next(stream)
    os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    with pytest.raises(OSError, match=r"data-worker-\d, a process of data.workers, ended with exit code -9"):
        for _ in range(1000):
            next(stream)
    stream.close()
    assert not multiprocessing.active_children()


def test_memory_of_a_batch_is_used_again_and_never_while_it_is_held(shards, make_stream):
    """By processes; what threads share is tested with BatchMemory."""
    stream, kept = make_stream(shards(), workers=1, threads=2), []
    held, copies = [], []
    for step in range(40):
        batch = next(stream)
        kept.append(batch["image"].ctypes.data)
        if step % 8 == 0:
            held.append(batch)
            copies.append(batch["image"].copy())
    stream.close()
    assert len(set(kept)) <= len(held) + 6  # four are made ahead, two are in the hands of this loop
    assert all(np.array_equal(batch["image"], copy) for batch, copy in zip(held, copies))
