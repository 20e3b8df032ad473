import time
import types

import jax
import pytest

from diptych.pretrain.meter import Meter
from diptych.pretrain.progress import Lines, Silence, reporter


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when a test says so."""
    now = types.SimpleNamespace(seconds=0.0)
    for name in ("monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: now.seconds)
    return now


def test_the_time_left_leaves_the_compile_out(capsys, clock):
    lines = Lines(total=14, done=2)
    for step, seconds in ((3, 600), (4, 601)):
        clock.seconds = seconds
        lines.advance(step)
        lines.report(step, {"loss": 1.0})
    assert capsys.readouterr().err.splitlines() == ["step 3/14  loss 1.0000", "step 4/14  loss 1.0000  0:00:10 left"]


def test_an_evaluation_is_shown_with_its_chance(capsys):
    Lines(total=9, done=0).evaluated(4, {"emoji/i2t_r1": 0.5, "emoji/chance": 0.25})
    assert capsys.readouterr().err.splitlines() == [
        "evaluation after step 4",
        "task   metric  value    chance",
        "emoji  i2t_r1  50.00 %  25.00 %",
    ]


def test_only_the_first_process_speaks(monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    assert isinstance(reporter(total=3, done=0), Silence)


def test_an_evaluation_takes_no_time(clock):
    log, train = types.SimpleNamespace(peak_tflops=None), types.SimpleNamespace(batch_size=8)
    run = types.SimpleNamespace(recipe=types.SimpleNamespace(log=log, train=train), mesh=types.SimpleNamespace(size=2))
    feed = types.SimpleNamespace(waited=0.0)
    meter = Meter(run, feed)
    clock.seconds = 2.0
    with meter.paused():
        clock.seconds = 100.0
    clock.seconds, feed.waited = 102.0, 1.0
    assert meter.read(4) == {"samples_per_second": 8.0, "samples_per_second_per_device": 4.0, "seconds_per_step": 1.0, "data_wait": 0.25}
    assert meter.read(4) == {}
