"""A signal while a run starts, imports or compiles: the exit code says it, nothing is half-written, and the same command works then."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diptych.launch.cli import main

# Seconds after signals are looked after: in the restart with other settings, importing, building, and compiling the first step.
DELAYS = (0, 0.3, 1.5, 4)
CODES = {signal.SIGINT: 130, signal.SIGTERM: 75}
TERM = 1 << (signal.SIGTERM - 1)


@pytest.fixture
def start(tiny_config, tmp_path):
    """Starts `diptych train` in a folder; comes back when a signal does not kill it any more."""

    def run(name, *more):
        command = [sys.executable, "-m", "diptych.launch.cli", "train", "--config", tiny_config, "--workdir", str(tmp_path / name), *more]
        process = subprocess.Popen(command, env=os.environ | {"JAX_NUM_CPU_DEVICES": "2"}, stderr=subprocess.PIPE, text=True)
        while not looks_after_signals(process.pid):
            assert process.poll() is None
            time.sleep(0.002)
        return process

    return run


def looks_after_signals(pid):
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return (int(status["SigBlk"], 16) | int(status["SigCgt"], 16)) & TERM


def test_a_signal_at_the_start_is_an_exit_code(start, tiny_config, tmp_path):
    for (number, code), delay in itertools.product(CODES.items(), DELAYS):
        process = start("run", "--config.train.steps=100000")
        time.sleep(delay)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == code, (number, delay, said)
        assert "Traceback" not in said
    assert not list(tmp_path.glob("run/**/*.part")) and not list(tmp_path.glob("run/checkpoints/*tmp*"))
    steps = max([int(path.name) for path in tmp_path.glob("run/checkpoints/*")], default=0) + 2
    assert (
        main(
            ["train", "--config", tiny_config, "--workdir", str(tmp_path / "run"), "--config.mesh.fsdp=1", f"--config.train.steps={steps}"]
        )
        == 0
    )
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if "loss" in record] == list(range(1, steps + 1))


SLEEPER = """
import hashlib
from diptych.pretrain.interrupts import Interrupts
with Interrupts() as interrupts:
    interrupts.defer()
    print("up", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # minutes in one call, which as a compile lets no handler of Python's run
"""


def test_a_second_ctrl_c_leaves_at_once_even_where_no_handler_runs():
    process = subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    assert "Ctrl-C leaves at once" in process.stderr.read()
