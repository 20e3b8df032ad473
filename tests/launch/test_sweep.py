import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from diptych.launch import sweep
from diptych.launch.child import run_child
from diptych.launch.cli import main
from diptych.pretrain.recipe import load_recipe
from diptych.pretrain.run_folder import write_recipe
from diptych.pretrain.spec import EvalTaskSpec

AXES = ["--axis", "optimizer.peak_lr=3e-4,1e-3", "--axis", "seed=0,1"]
IDS = ["peak_lr=0.0003,seed=0", "peak_lr=0.0003,seed=1", "peak_lr=0.001,seed=0", "peak_lr=0.001,seed=1"]


@pytest.fixture
def children(monkeypatch):
    """Stands for the training processes: `codes` maps a run's folder name to the exit code it ends with; `started` lists the folders."""

    class Children:
        def __init__(self):
            self.started, self.commands, self.codes = [], [], {}

        def __call__(self, command):
            options = dict(word.split("=", 1) for word in command if word.startswith("--"))
            folder = Path(options.pop("--workdir"))
            self.started.append(folder.name)
            self.commands.append(command)
            if code := self.codes.get(folder.name, 0):
                return code
            recipe = load_recipe(options.pop("--config"), [f"{key.removeprefix('--config.')}={value}" for key, value in options.items()])
            folder.mkdir(parents=True, exist_ok=True)
            write_recipe(folder, recipe)
            (folder / "checkpoints" / "20").mkdir(parents=True, exist_ok=True)
            metrics = {"t2i_r10": 100 * recipe.optimizer.peak_lr + 0.01 * recipe.seed, "i2t_median_rank": 9.0 - recipe.seed}
            result = {"loss": 2.0 + recipe.seed, **{f"openmoji/{name}": value for name, value in metrics.items()}}
            (folder / "result.json").write_text(json.dumps(result))
            return 0

    fake = Children()
    monkeypatch.setattr(sweep, "run_child", fake)
    return fake


def run(workdir, *more):
    return main(["sweep", "--config", "clip_emoji", *AXES, "--workdir", str(workdir), "--json", *more])


def test_dry_run_lists_the_runs_and_starts_none(tmp_path, capsys, children):
    assert run(tmp_path / "s", "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [each["id"] for each in json.loads(lines[-1])["runs"]] == IDS
    assert all(any(each in line for line in lines[:-1]) for each in IDS)
    assert not children.started and not (tmp_path / "s").exists()


def test_a_sweep_ends_with_table_plot_and_json(tmp_path, capsys, children):
    assert run(tmp_path, "--config.train.steps=20") == 0
    assert children.started == IDS
    assert "--config.train.steps=20" in children.commands[0] and "--config.optimizer.peak_lr=0.0003" in children.commands[0]
    lines = capsys.readouterr().out.splitlines()
    result = json.loads(lines[-1])
    assert result == json.loads((tmp_path / "sweep.json").read_text())
    assert result["metric"] == "openmoji/t2i_r10" and result["best"] == "peak_lr=0.001,seed=1"
    assert [each["value"] for each in result["runs"]] == pytest.approx([0.03, 0.04, 0.1, 0.11])
    table = "\n".join(lines[:-1])
    assert "optimizer.peak_lr" in table and "0.11" in table and "best is peak_lr=0.001,seed=1" in table
    with Image.open(tmp_path / "sweep.png") as picture:
        assert picture.width > picture.height > 300


def test_rerunning_goes_on_with_what_is_unfinished(tmp_path, capsys, children):
    children.codes = {IDS[2]: 130}
    assert run(tmp_path) == 130
    assert f"the sweep stopped at run {IDS[2]}" in capsys.readouterr().err
    children.codes, children.started = {}, []
    assert run(tmp_path) == 0
    assert children.started == IDS[2:]
    children.started = []
    assert run(tmp_path) == 0
    assert children.started == []


@pytest.mark.parametrize("code", [2, 75, 1, 137])
def test_a_run_that_does_not_end_stops_the_sweep_with_its_code(tmp_path, children, code):
    children.codes = {IDS[1]: code}
    assert run(tmp_path) == code
    assert children.started == IDS[:2]


def test_more_steps_are_more_work(tmp_path, children):
    constant = "--config.optimizer.schedule=constant"
    assert run(tmp_path, constant, "--config.train.steps=20") == 0
    children.started = []
    assert run(tmp_path, constant, "--config.train.steps=10") == 0 and not children.started
    children.codes = {IDS[1]: 130}
    assert run(tmp_path, constant, "--config.train.steps=30") == 130 and children.started == IDS[:2]
    assert not (tmp_path / IDS[1] / "result.json").exists()


def test_folders_of_another_recipe_are_refused_before_any_run(tmp_path, capsys, children):
    assert run(tmp_path) == 0
    children.started = []
    assert run(tmp_path, "--config.model.embed_dim=64") == 2
    assert "model.embed_dim" in capsys.readouterr().err and not children.started


def test_a_metric_that_no_run_reports_is_named(tmp_path, capsys, children):
    assert run(tmp_path, "--config.eval.metric=groups/top5") == 2
    assert "eval.metric = groups/top5 was not reported by the runs; accepted are openmoji/t2i_r10" in capsys.readouterr().err


def test_without_a_metric_the_lowest_loss_is_best(tmp_path, capsys, children):
    assert run(tmp_path, "--config.eval.metric=none") == 0
    result = json.loads((tmp_path / "sweep.json").read_text())
    assert result["metric"] == "loss" and result["best"].endswith("seed=0")


def test_an_evaluator_says_which_way_is_better(tmp_path, capsys, children):
    assert run(tmp_path, "--config.eval.metric=openmoji/i2t_median_rank") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["best"].endswith("seed=1")
    task = {"kind": "zero_shot", "data": ("x.tar",), "class_names": ("a",)}
    recipe = load_recipe("clip_emoji")
    tasks = {"heldout_losses": EvalTaskSpec(**task), "rank": EvalTaskSpec(kind="loss", data=("x.tar",))}
    for metric, lower in (("heldout_losses/top1", False), ("rank/loss/softmax", True), (None, True)):
        recipe = dataclasses.replace(recipe, eval=dataclasses.replace(recipe.eval, tasks=tasks, metric=metric))
        assert sweep.lower_is_better(recipe) is lower


def test_a_folder_in_which_nothing_was_saved_can_be_corrected(tmp_path, children):
    assert run(tmp_path) == 0
    for each in IDS:
        (tmp_path / each / "checkpoints" / "20").rmdir()
        (tmp_path / each / "result.json").unlink()
    children.started = []
    assert run(tmp_path, "--config.model.embed_dim=64") == 0 and children.started == IDS


def test_a_result_without_a_number_is_strict_json(tmp_path, children):
    assert run(tmp_path) == 0
    for each in IDS:
        (tmp_path / each / "result.json").write_text('{"loss": 2.5, "openmoji/t2i_r10": null}')
    assert run(tmp_path) == 0
    summary = json.loads((tmp_path / "sweep.json").read_text(), parse_constant=pytest.fail)
    assert summary["best"] is None and summary["runs"][0]["metrics"] == {"loss": 2.5, "openmoji/t2i_r10": None}


def test_a_child_ends_with_its_own_code():
    assert run_child([sys.executable, "-c", "raise SystemExit(75)"]) == 75
    assert run_child([sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]) == 137


SLOW = "import signal, sys, time; signal.signal(signal.SIGINT, lambda *_: sys.exit(130)); print('up', flush=True); time.sleep(30)"
PARENT = "import sys; from diptych.launch.child import run_child; sys.exit(run_child([sys.executable, '-c', sys.argv[1]]))"


def test_ctrl_c_is_passed_on_and_waited_for():
    parent = subprocess.Popen([sys.executable, "-c", PARENT, SLOW], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None and parent.stdout.readline() == "up\n"
    start = time.monotonic()
    parent.send_signal(signal.SIGINT)
    assert parent.wait(timeout=20) == 130 and time.monotonic() - start < 10


def test_a_signal_that_comes_while_the_child_starts_is_passed_on(monkeypatch):
    popen = subprocess.Popen

    def slow(command, **kwargs):
        process = popen(command, stdout=subprocess.PIPE, text=True, **kwargs)
        assert process.stdout.readline() == "up\n"
        signal.raise_signal(signal.SIGINT)
        return process

    monkeypatch.setattr(subprocess, "Popen", slow)
    start = time.monotonic()
    assert run_child([sys.executable, "-c", SLOW]) == 130 and time.monotonic() - start < 10


WATCHED = """
import subprocess, sys
from diptych.launch.child import run_child
from diptych.pretrain.interrupts import Interrupts
with Interrupts():
    sys.exit(run_child([sys.executable, "-c", sys.argv[1]]))
"""


def test_a_sweep_waits_for_its_child_while_signals_are_watched():
    slow = SLOW.replace("sys.exit(130)", "(time.sleep(0.5), sys.exit(77))")
    parent = subprocess.Popen([sys.executable, "-c", WATCHED, slow], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None and parent.stdout.readline() == "up\n"
    parent.send_signal(signal.SIGINT)
    assert parent.wait(timeout=20) == 77
