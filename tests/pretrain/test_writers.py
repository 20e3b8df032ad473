import json
import math
import sys
import types

import jax
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from diptych.errors import UserError
from diptych.pretrain.spec import LogSpec
from diptych.pretrain.writers import check_writers, make_writers, read_metrics

JSONL = LogSpec(writers=("jsonl",))


def write_steps(workdir, steps, *, resumed_step, spec=JSONL, offset=0.0):
    writer = make_writers(spec, workdir, resumed_step=resumed_step)
    for step in steps:
        writer.write(step, {"loss": step + offset, "emoji/i2t_r1": 0.5})
    writer.close()


def test_one_line_a_record(tmp_path):
    write_steps(tmp_path, [1, 2], resumed_step=0)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 1, "loss": 1.0, "emoji/i2t_r1": 0.5},
        {"step": 2, "loss": 2.0, "emoji/i2t_r1": 0.5},
    ]


def test_resuming_drops_what_comes_again_and_a_cut_line(tmp_path):
    write_steps(tmp_path, [1, 2, 3, 4], resumed_step=0)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')
    assert [record["step"] for record in read_metrics(tmp_path)] == [1, 2, 3, 4]
    write_steps(tmp_path, [3, 4, 5], resumed_step=2, offset=0.5)
    assert [(record["step"], record["loss"]) for record in read_metrics(tmp_path)] == [(1, 1.0), (2, 2.0), (3, 3.5), (4, 4.5), (5, 5.5)]


def test_a_line_is_on_disk_before_the_run_ends(tmp_path):
    writer = make_writers(JSONL, tmp_path, resumed_step=0)
    writer.write(1, {"loss": 2.0})
    assert read_metrics(tmp_path) == [{"step": 1, "loss": 2.0}]
    writer.close()


def test_what_is_not_finite_is_strict_json(tmp_path):
    writer = make_writers(JSONL, tmp_path, resumed_step=0)
    writer.write(1, {"loss": math.nan, "grad_norm": math.inf})
    writer.close()
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text() and "Infinity" not in (tmp_path / "metrics.jsonl").read_text()
    assert math.isnan(read_metrics(tmp_path)[0]["loss"])


def test_no_metrics_yet(tmp_path):
    assert read_metrics(tmp_path) == []


def test_tensorboard_reads_the_events_of_a_resumed_run(tmp_path):
    spec = LogSpec(writers=("tensorboard",))
    write_steps(tmp_path, [1, 2, 3, 4], resumed_step=0, spec=spec)
    write_steps(tmp_path, [3, 4], resumed_step=2, spec=spec, offset=0.5)
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 1.0), (2, 2.0), (3, 3.5), (4, 4.5)]


def test_what_was_written_can_be_seen_when_a_checkpoint_is_saved(tmp_path):
    writer = make_writers(LogSpec(writers=("jsonl", "tensorboard")), tmp_path, resumed_step=0)
    writer.write(1, {"loss": 2.0})
    writer.flush()
    events = EventAccumulator(str(tmp_path / "events")).Reload()
    assert [event.value for event in events.Scalars("loss")] == [2.0]
    writer.close()


def test_other_processes_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    write_steps(tmp_path, [1], resumed_step=0, spec=LogSpec(writers=("jsonl", "tensorboard")))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_writer_is_named():
    with pytest.raises(UserError, match=r"log.writers has 'tensorbord'.*jsonl, tensorboard, wandb"):
        check_writers(LogSpec(writers=("jsonl", "tensorbord")))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"log.writers has 'wandb'.*diptych\[wandb\]"):
        check_writers(LogSpec(writers=("wandb",)))


class FakeRun:
    def __init__(self):
        self.logged, self.finished = [], False

    def define_metric(self, name, *, step_metric):
        assert (name, step_metric) == ("*", "step")

    def log(self, values):
        self.logged.append(values)

    def finish(self):
        self.finished = True


def test_wandb_goes_on_with_the_same_run(tmp_path, monkeypatch):
    runs, ids = [], []

    def init(*, id, **_):
        ids.append(id)
        runs.append(FakeRun())
        return runs[-1]

    fresh = iter(["first", "second"])
    fake = types.SimpleNamespace(init=init, util=types.SimpleNamespace(generate_id=lambda: next(fresh)))
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: fake)
    for resumed_step in (0, 1):
        write_steps(tmp_path, [resumed_step + 1], resumed_step=resumed_step, spec=LogSpec(writers=("wandb",)))
    assert ids == ["first", "first"]
    assert [run.logged for run in runs] == [
        [{"step": 1, "loss": 1.0, "emoji/i2t_r1": 0.5}],
        [{"step": 2, "loss": 2.0, "emoji/i2t_r1": 0.5}],
    ]
    assert all(run.finished for run in runs)
