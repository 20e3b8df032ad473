"""A stop, wherever it comes, loses nothing: the step is saved first, and what was not evaluated is evaluated by the next start."""

import dataclasses
import itertools
import json
import threading

import pytest

from diptych.errors import Stopped
from diptych.pretrain.interrupts import Interrupts
from diptych.pretrain.run_folder import saved_steps
from diptych.pretrain.train import train
from diptych.pretrain.writers import read_metrics
from diptych.sharding.spec import MeshSpec

POLLS = 10  # batches of one evaluation: squares 2 + 2, colours 2 + 1, heldout 3


class AskedAt(Interrupts):
    """A stop that is asked for at one call of `requested`."""

    def __init__(self, call):
        super().__init__()
        self._calls, self._at = itertools.count(1), call

    def requested(self):
        return next(self._calls) == self._at


@pytest.fixture(scope="module")
def recipe(squares_recipe):
    """Two steps on one device, each evaluated; nothing but the evaluations and the end asks for a checkpoint."""
    evaluations, checkpoint = dataclasses.replace(squares_recipe.eval, every=1), dataclasses.replace(squares_recipe.checkpoint, every=100)
    return dataclasses.replace(squares_recipe, mesh=MeshSpec(fsdp=1), eval=evaluations, checkpoint=checkpoint)


def evaluated(workdir):
    return [record["step"] for record in read_metrics(workdir) if "heldout/loss" in record]


def test_stops_in_an_evaluation_and_after_the_last_step(recipe, tmp_path):
    with pytest.raises(Stopped, match="saved at step 1"):
        train(recipe, tmp_path, interrupts=AskedAt(3))
    assert saved_steps(tmp_path) == [1] and evaluated(tmp_path) == []

    with pytest.raises(Stopped, match="saved at step 2"):
        train(recipe, tmp_path, interrupts=AskedAt(POLLS + 1))
    assert saved_steps(tmp_path) == [1, 2] and evaluated(tmp_path) == [1]
    assert not (tmp_path / "result.json").exists()

    metrics = train(recipe, tmp_path)
    assert evaluated(tmp_path) == [1, 2]
    losses = {record["step"]: record["loss"] for record in read_metrics(tmp_path) if "loss" in record}
    assert losses.keys() == {1, 2} and metrics["loss"] == losses[2] and metrics["bad_samples"] == 0
    assert json.loads((tmp_path / "result.json").read_text()) == metrics
    assert train(recipe, tmp_path) == metrics and evaluated(tmp_path) == [1, 2]


def test_the_watching_thread_ends_with_its_block():
    for _ in range(3):
        with Interrupts():
            assert any(thread.name == "signals" for thread in threading.enumerate())
    for thread in threading.enumerate():
        if thread.name == "signals":
            thread.join(timeout=5)
            assert not thread.is_alive()
