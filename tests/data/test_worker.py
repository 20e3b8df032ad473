"""Worker processes: what goes wrong in one is raised here, and none outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diptych import UserError

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from diptych.data.pipeline import read_ahead
from diptych.data.spec import DataSpec

def chunk(number):
    import os
    return {"pid": os.getpid(), "image": np.zeros(4)}

if __name__ == "__main__":
    stream = iter(read_ahead(chunk, DataSpec(workers=1, threads=1), ahead=2))
    print(next(stream)["pid"], flush=True)
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
