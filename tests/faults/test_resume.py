"""A run that is killed anywhere and started again has bitwise the losses of an undisturbed run."""

import json
import signal
import subprocess
import sys
import time

import pytest


def command(tiny_config, workdir, *more):
    return [sys.executable, "-m", "diptych.launch.cli", "train", "--config", tiny_config, "--workdir", str(workdir), "--json", *more]


def losses(workdir):
    records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return {record["step"]: record["loss"] for record in records if "loss" in record}


def steps_done(workdir):
    path = workdir / "metrics.jsonl"
    return path.read_text().count('"loss"') if path.exists() else 0


def wait_for(process, workdir, steps):
    deadline = time.monotonic() + 120
    while steps_done(workdir) < steps:
        assert process.poll() is None and time.monotonic() < deadline, "the run ended before it could be disturbed"
        time.sleep(0.005)


def undisturbed(tiny_config, workdir, environment):
    subprocess.run(command(tiny_config, workdir, "--config.train.steps=40"), check=True, env=environment, capture_output=True)
    return losses(workdir)


@pytest.fixture(scope="module")
def of_one_device(tiny_config, tmp_path_factory, environment):
    return undisturbed(tiny_config, tmp_path_factory.mktemp("undisturbed"), environment(1))


def test_kill_and_resume_is_bitwise_exact(tiny_config, tmp_path, tmp_path_factory, environment):
    expected = undisturbed(tiny_config, tmp_path_factory.mktemp("undisturbed"), environment(2))
    for kill_at in (6, 22):
        run = subprocess.Popen(command(tiny_config, tmp_path, "--config.train.steps=40"), env=environment(2), stderr=subprocess.DEVNULL)
        wait_for(run, tmp_path, kill_at)
        run.send_signal(signal.SIGKILL)
        run.wait()
    subprocess.run(command(tiny_config, tmp_path, "--config.train.steps=40"), check=True, env=environment(2), capture_output=True)
    assert losses(tmp_path) == expected
    assert len(expected) == 40


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_saves_and_the_same_command_goes_on(tiny_config, tmp_path, of_one_device, environment, number, code):
    run = subprocess.Popen(command(tiny_config, tmp_path, "--config.train.steps=40"), env=environment(1), stderr=subprocess.PIPE, text=True)
    wait_for(run, tmp_path, 5)
    run.send_signal(number)
    assert run.wait() == code
    assert "stopped and saved at step" in run.stderr.read()
    stopped = max(losses(tmp_path))
    assert (tmp_path / "checkpoints" / str(stopped)).is_dir()
    done = subprocess.run(
        command(tiny_config, tmp_path, "--config.train.steps=40", "--config.data.threads=3"),
        check=True,
        env=environment(1),
        capture_output=True,
        text=True,
    )
    assert f"resuming from step {stopped}" in done.stderr
    assert losses(tmp_path) == of_one_device


def test_a_finished_run_is_extended_and_another_identity_refused(tiny_config, tmp_path, environment):
    run = lambda *more: subprocess.run(command(tiny_config, tmp_path, *more), env=environment(4), capture_output=True, text=True)  # noqa: E731
    assert run("--config.train.steps=6").returncode == 0
    longer = run("--config.train.steps=8", "--config.mesh.fsdp=2", "--config.mesh.tensor=2")
    assert longer.returncode == 0, longer.stderr
    assert "mesh.fsdp" in longer.stderr
    assert sorted(losses(tmp_path)) == list(range(1, 9))
    other = run("--config.optimizer.peak_lr=0.5")
    assert other.returncode == 2
    assert "optimizer.peak_lr = 0.001" in other.stderr and "Traceback" not in other.stderr


def test_a_finished_run_started_again_says_the_same(tiny_config, tmp_path, environment):
    again = [
        subprocess.run(command(tiny_config, tmp_path), env=environment(1), capture_output=True, text=True, check=True) for _ in range(2)
    ]
    first, second = (json.loads(run.stdout.splitlines()[-1]) for run in again)
    assert first == second and "loss" in first and "heldout/i2t_r1" in first
