"""A command that is refused leaves the run folder as it was, and what is refused is said in one sentence."""

import shutil
import subprocess
import sys

import pytest

from diptych.errors import UserError
from diptych.launch.cli import main
from diptych.pretrain.recipe import load_recipe
from diptych.pretrain.run_folder import check_identity

HOLDER = """
import sys, time
from pathlib import Path
from diptych.pretrain.run_lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def ended(tiny_config, tmp_path_factory):
    """A run of four steps."""
    workdir = tmp_path_factory.mktemp("ended") / "run"
    assert train(tiny_config, workdir, "--config.train.steps=4") == 0
    return workdir


@pytest.fixture
def run(ended, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(ended, tmp_path / "run")


def train(tiny_config, workdir, *more):
    return main(["train", "--config", tiny_config, "--workdir", str(workdir), "--config.mesh.fsdp=1", *more])


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("train.steps=3", "train.steps = 3 is behind the checkpoint at step 4"),
        ("data.tokenizer.path=nowhere", "data.tokenizer.path"),
        ("model.embed_dim=16", "holds a run with model.embed_dim = 32, not 16"),
    ],
)
def test_a_refused_command_leaves_the_folder_alone(tiny_config, run, capsys, setting, said):
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file() and path.name != ".lock"}
    assert train(tiny_config, run, f"--config.{setting}", "--config.log.every=3") == 2
    assert said in capsys.readouterr().err
    assert before == {path.name: path.read_bytes() for path in run.iterdir() if path.is_file() and path.name != ".lock"}


def test_a_run_that_failed_before_it_saved_can_be_corrected(tiny_config, run):
    other = load_recipe(tiny_config, ["seed=4"])
    with pytest.raises(UserError, match="seed = 3, not 4"):
        check_identity(run, other)
    shutil.rmtree(run / "checkpoints")
    check_identity(run, other)


def test_one_run_a_folder(tiny_config, tmp_path, capsys):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        assert train(tiny_config, tmp_path) == 2
        said = capsys.readouterr().err.strip()
        assert f"--workdir = {tmp_path} is in use by process {holder.pid} on " in said and len(said.splitlines()) == 1
    finally:
        holder.kill()
        holder.wait()
    assert train(tiny_config, tmp_path, "--config.data.tokenizer.path=nowhere") == 2
    assert "data.tokenizer.path" in capsys.readouterr().err


def test_a_profile_is_written_with_named_scopes(tiny_config, run):
    assert train(tiny_config, run, "--config.train.steps=6", "--profile", "4:9") == 0
    (trace,) = run.glob("profile/plugins/profile/*/*.xplane.pb")
    assert b"optimizer" in trace.read_bytes()
