import os
import subprocess
import sys
import types

import pytest

from diptych.launch.cli import main

PIECES = """
from diptych.launch.quickstart import on_fitting_devices
from diptych.pretrain.learner import make_learner
from diptych.pretrain.recipe import load_recipe
from diptych.sharding.mesh import make_mesh
recipe = on_fitting_devices(load_recipe("quickstart"))
print(make_learner(recipe, make_mesh(recipe.mesh)).mesh.devices.size)
"""


def test_six_devices_are_used_as_far_as_they_divide():
    env = os.environ | {"JAX_NUM_CPU_DEVICES": "6", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", PIECES], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "4\n"
    said = "training on 4 of 6 devices (mesh.replica = 1, mesh.fsdp = 4, mesh.tensor = 1): the batch and the towers are divided evenly\n"
    assert done.stderr.endswith(said)


@pytest.fixture
def made(monkeypatch):
    """Stands for all that `quickstart` does after its checks; the recipe that it was asked to train."""
    recipes = []
    metrics = {f"heldout/{name}": 0.5 for name in ("i2t_r1", "t2i_r1", "i2t_r5", "t2i_r5", "candidates", "chance")}
    metrics |= {"shapes/top1": 0.5, "shapes/chance": 0.1}

    def train(recipe, workdir, *, interrupts):
        recipes.append(recipe)
        return metrics

    stand_ins = {
        "pretrain.train": {"train": train},
        "pretrain.export.export": {"export_run": lambda workdir, out: {"path": str(out)}},
        "launch.quickstart_data": {"prepare_data": lambda folder, vocab_size: None, "draw_similarity": lambda *_: None},
    }
    for name, content in stand_ins.items():
        monkeypatch.setitem(sys.modules, f"diptych.{name}", types.SimpleNamespace(**content))
    return recipes


def test_what_divides_nothing_is_refused_before_anything_is_made(tmp_path, made, capsys):
    assert main(["quickstart", "--workdir", str(tmp_path / "here"), "--config.mesh.fsdp=3"]) == 2
    assert "train.batch_size = 256 is not divisible by mesh.replica x mesh.fsdp = 3" in capsys.readouterr().err
    assert made == [] and not (tmp_path / "here").exists()


def test_all_eight_devices_divide(tmp_path, made, capsys):
    assert main(["quickstart", "--workdir", str(tmp_path / "here"), "--json"]) == 0
    assert made[0].mesh.fsdp == 8 and "devices" not in capsys.readouterr().err
