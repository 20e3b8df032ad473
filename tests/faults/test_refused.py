"""A command that is refused leaves the run folder as it was, and what is refused is said in one sentence."""

import shutil
import subprocess
import sys

import pytest

from diptych.errors import UserError
from diptych.launch.cli import main
from diptych.pretrain.recipe import load_recipe
from diptych.pretrain.run_lock import locked
from diptych.pretrain.same_run import check_identity

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


def test_a_refused_order_leaves_no_run_behind(tiny_config, tmp_path, capsys):
    blocks = ["--config.data.order=block", "--config.data.streams=7"]
    assert train(tiny_config, tmp_path, *blocks) == 2
    assert "data.streams = 7 does not divide train.batch_size = 32" in capsys.readouterr().err
    parts = ["--config.data.train=()", *(f"--config.data.mixture.{name}.source=shapes:64x32" for name in "ab")]
    assert train(tiny_config, tmp_path, *parts, "--config.data.mixture.a.weight=1e-9") == 2
    assert "data.mixture.a.weight = 1e-09 is less than" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# What is wrong with the devices, the names of parameters, or a place, none of which the settings alone tell.
BEFORE_A_COMPILE = {
    "train.accumulate=3": "train.batch_size = 32 is not divisible by mesh.replica x mesh.fsdp x train.accumulate = 3",
    "mesh.fsdp=64": "mesh.fsdp = 64 x mesh.tensor = 1 asks for 64 devices, but there are 8",
    "mesh.tensor=3": "is not divisible by mesh.tensor = 3",
    "optimizer.freeze=model.vision.*": "optimizer.freeze has 'model.vision.*', which matches no parameter",
    "optimizer.lr_multipliers=[('model.vision.*', 0.1)]": "optimizer.lr_multipliers has 'model.vision.*', which matches no parameter",
    "optimizer.freeze=model.text.*": "optimizer.freeze freezes model.text, of which train.init.path gives nothing",
    "train.init.path=nowhere": "train.init.path = nowhere",
    "data.train=nowhere-*.tar": "data.train",
    "data.tokenizer.path=nowhere": "data.tokenizer.path",
    "eval.tasks.heldout.data=nowhere-*.tar": "eval.tasks.heldout.data",
}
TEACHER = ["--config.objective.terms.distillation_logits=1", "--config.objective.distillation.teacher=nowhere"]
EMBEDDINGS = ["--config.data.embeddings=nowhere", "--config.train.init.path=models", "--config.data.augment.crop_scale=1,1"]
FOLDERS = {"objective.distillation.teacher = nowhere": TEACHER, "train.init.path = models": EMBEDDINGS}


@pytest.mark.parametrize(
    ("settings", "said"),
    [*(([f"--config.{setting}"], said) for setting, said in BEFORE_A_COMPILE.items()), *((more, said) for said, more in FOLDERS.items())],
    ids=[*BEFORE_A_COMPILE, *FOLDERS],
)
def test_what_a_run_refuses_a_dry_run_refuses_and_nothing_is_left(tiny_config, tmp_path, capsys, monkeypatch, settings, said):
    monkeypatch.chdir(tmp_path)
    sentences = []
    for more in (["--workdir", "runs/new"], ["--dry-run"]):
        assert main(["train", "--config", tiny_config, "--config.mesh.fsdp=1", *settings, *more]) == 2
        sentences.append(capsys.readouterr().err)
    assert said in sentences[0] and sentences[0] == sentences[1]
    assert not list(tmp_path.iterdir())


def test_a_dry_run_of_a_run_that_is_past_its_end(tiny_config, run, capsys):
    before = sorted(path.relative_to(run) for path in run.rglob("*"))
    assert train(tiny_config, run, "--config.train.steps=3", "--dry-run") == 2
    assert "train.steps = 3 is behind the checkpoint at step 4" in capsys.readouterr().err
    assert train(tiny_config, run, "--dry-run") == 0
    assert before == sorted(path.relative_to(run) for path in run.rglob("*"))


def test_a_refused_body_leaves_what_was_there_and_no_more(tmp_path):
    with pytest.raises(UserError, match="refused"), locked(tmp_path / "run"):
        assert (tmp_path / "run/.lock").exists()
        raise UserError("refused")
    assert not list(tmp_path.iterdir())
    with locked(tmp_path / "run"), pytest.raises(UserError, match="in use by process"), locked(tmp_path / "run"):
        pass
    with pytest.raises(UserError, match="refused"), locked(tmp_path / "run"):
        raise UserError("refused")
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"], "it was there before"


REFUSED = {
    "seed=4": "seed = 3, not 4; accepted is seed = 3, --force-data, or another folder",
    "data.augment.flip=0.5": "data.augment.flip = 0.0, not 0.5; accepted is data.augment.flip = 0.0, --force-data, or another folder",
    "data.order=block": "data.order = exact, not block; accepted is data.order = exact, --force-data, or another folder",
    "model.embed_dim=16": "model.embed_dim = 32, not 16; accepted is model.embed_dim = 32, or another folder",
}


@pytest.mark.parametrize("setting", REFUSED)
def test_other_data_are_refused_by_name(tiny_config, run, capsys, setting):
    assert train(tiny_config, run, "--config.data.streams=8", f"--config.{setting}") == 2
    assert REFUSED[setting] in capsys.readouterr().err


def test_other_data_can_be_forced(tiny_config, run, capsys, caplog):
    other = ["seed=4", "data.augment.flip=0.5", "data.train=()", "data.mixture.a.source=shapes:64x32", "data.mixture.b.source=shapes:32x32"]
    command = ["--config.data.order=block", "--config.data.streams=8", *(f"--config.{setting}" for setting in other)]
    assert train(tiny_config, run, *command, "--config.train.steps=5", "--force-data") == 0
    for said in ("seed = 4 (was 3)", "data.augment.flip = 0.5", "data.order = block (was exact)"):
        assert f"--force-data: going on with {said}" in caplog.text
    assert train(tiny_config, run, *command, "--config.train.steps=5") == 0
    assert train(tiny_config, run, *command, "--config.optimizer.peak_lr=1", "--force-data") == 2
    assert "optimizer.peak_lr = 0.001, not 1.0" in capsys.readouterr().err


def test_another_name_for_the_same_order_is_not_refused(tiny_config, run):
    same = ["--config.data.order=exact", "--config.data.streams=8", "--config.data.block_shards=2"]
    assert train(tiny_config, run, *same, "--config.train.steps=4") == 0
    assert train(tiny_config, run, "--config.train.steps=4") == 0


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
