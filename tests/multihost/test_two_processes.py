"""Two processes of four devices train, save, resume and evaluate as one process of eight does."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest


def start(tiny_config, workdir, *, processes, steps, more=()):
    """Starts the same command in each process."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "diptych.launch.cli", "train", "--config", tiny_config, "--workdir", str(workdir), "--json"]
    command += [f"--config.train.steps={steps}", "--config.mesh.fsdp=4", "--config.mesh.replica=2", *more]
    jobs = []
    for index in range(processes):
        env = os.environ | {"JAX_NUM_CPU_DEVICES": str(8 // processes)}
        if processes > 1:
            env |= {
                "JAX_COORDINATOR_ADDRESS": f"localhost:{port}",
                "JAX_NUM_PROCESSES": str(processes),
                "JAX_PROCESS_ID": str(index),
                "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
            }
        jobs.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    return jobs


def run(tiny_config, workdir, **kwargs):
    """Runs to the end; returns the first one's JSON. The others say nothing (gloo prints its ranks)."""
    jobs = start(tiny_config, workdir, **kwargs)
    results = [job.communicate(timeout=240) for job in jobs]
    for job, (_, errors) in zip(jobs, results):
        assert job.returncode == 0, errors[-3000:]
    for printed, errors in results[1:]:
        assert not any(word in printed + errors for word in ("loss", "step ", "resuming"))
    return json.loads(results[0][0].splitlines()[-1])


def losses(workdir):
    records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return {record["step"]: record["loss"] for record in records if "loss" in record}


@pytest.fixture(scope="module")
def one_process(tiny_config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("one")
    return run(tiny_config, workdir, processes=1, steps=12), losses(workdir)


def test_two_processes_match_one(tiny_config, tmp_path, one_process):
    expected, curve = one_process
    run(tiny_config, tmp_path, processes=2, steps=6)
    metrics = run(tiny_config, tmp_path, processes=2, steps=12)
    assert losses(tmp_path) == pytest.approx(curve, rel=1e-5)
    assert metrics["val_loss/loss"] == pytest.approx(expected["val_loss/loss"], rel=1e-5)
    for name in ("heldout/i2t_r1", "heldout/t2i_r10", "heldout/i2t_median_rank"):
        assert metrics[name] == pytest.approx(expected[name], abs=0.02 if "_r1" in name else 1), name


def test_a_run_of_two_processes_goes_on_in_one(tiny_config, tmp_path, one_process):
    _, curve = one_process
    run(tiny_config, tmp_path, processes=2, steps=6)
    run(tiny_config, tmp_path, processes=1, steps=12)
    assert losses(tmp_path) == pytest.approx(curve, rel=1e-5)


def test_a_signal_to_one_process_stops_all_at_one_step(tiny_config, tmp_path):
    jobs = start(tiny_config, tmp_path, processes=2, steps=100_000, more=["--config.eval.every=3", "--config.checkpoint.every=100000"])
    while not (tmp_path / "eval" / "3.json").exists():
        assert [job.poll() for job in jobs] == [None, None], [job.stderr.read()[-2000:] for job in jobs]
        time.sleep(0.01)
    jobs[1].send_signal(signal.SIGINT)
    said = [job.communicate(timeout=120)[1] for job in jobs]
    assert [job.returncode for job in jobs] == [75, 130], said
    newest = max(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert f"stopped and saved at step {newest}" in said[0] and "saved at step" not in said[1]
    assert max(losses(tmp_path)) == newest
