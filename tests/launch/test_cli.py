import json
import sys
import types

import pytest

from diptych.errors import Stopped, UserError
from diptych.launch import train as train_verb
from diptych.launch.arguments import check_workdir
from diptych.launch.cli import VERBS, main


def sentence(capsys):
    """The one line that a refused command wrote."""
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("diptych: ")
    return lines[0].removeprefix("diptych: ")


@pytest.fixture
def trainer(monkeypatch):
    """A stand-in for the trainer: what it was called with, and what it returns or raises."""
    calls = types.SimpleNamespace(recipes=[], answer={"loss": 1.5, "openmoji/t2i_r10": 0.25})

    def train(recipe, workdir, *, profile=None, interrupts, force_data):
        calls.recipes.append((recipe, workdir, profile))
        if isinstance(calls.answer, BaseException):
            raise calls.answer
        return calls.answer

    monkeypatch.setitem(sys.modules, "diptych.pretrain.train", types.SimpleNamespace(train=train))
    monkeypatch.setattr("diptych.launch.distributed.initialize", lambda: None)
    return calls


def test_help_lists_the_verbs(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(verb in printed for verb in VERBS)


@pytest.mark.parametrize("verb", ["train", "eval", "export", "embed", "sweep"])
def test_every_verb_has_help(verb, capsys):
    assert main([verb, "--help"]) == 0
    assert "--json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "VERB"),
        (["trian"], "invalid choice: 'trian'"),
        (["train"], "--config is not given; accepted are clip_emoji"),
        (["train", "--config", "clip_emoji"], "--workdir is not given"),
        (["train", "--config", "clip_emojy"], "--config = clip_emojy is not a recipe; accepted are clip_emoji, clip_emoji_best"),
        (["train", "--config", "clip_emojy"], "or the path of a .py file (did you mean clip_emoji?)"),
        (
            ["train", "--config", "clip_emoji", "--config.train.batchsize=3"],
            "train.batchsize is not a setting; did you mean train.batch_size?",
        ),
        (
            ["train", "--config", "clip_emoji", "--config.train.batch_size=x"],
            "train.batch_size = 'x' has the wrong type; accepted is an integer",
        ),
        (["train", "--config", "clip_emoji", "--config.seed"], "the override 'seed' has no value"),
        (["train", "--config", "clip_emoji", "--workdr=x"], "--workdr=x is not an argument of diptych train; did you mean --workdir?"),
        (["train", "--config", "clip_emoji", "extra"], "extra is not an argument of diptych train"),
        (
            ["train", "--config", "clip_emoji", "--config.train.steps=20", "--profile", "20:25"],
            "--profile = 20:25 begins after the last step; accepted is a START below train.steps = 20",
        ),
        (["train", "--config", "clip_emoji", "--profile", "9:3"], "--profile = 9:3 is not a range of steps; accepted is START:STOP"),
        (["eval", "--workdir", "nowhere"], "--workdir = nowhere holds no run"),
        (["eval", "--workdir", "nowhere", "--config.seed=1"], "--config.seed=1 is not an argument of diptych eval"),
        (["eval", "--step", "x"], "argument --step: invalid int value: 'x'"),
        (["export", "--workdir", "nowhere"], "--out is not given"),
        (["export", "--workdir", "nowhere", "--out", "x"], "--workdir = nowhere holds no run"),
        (["embed", "model", "--out", "x.npz"], "--images and --texts are both absent"),
        (["embed", "model", "--images", "nowhere/*.png", "--out", "x.npz"], "--images = nowhere/*.png matches no file"),
        (["embed", "model", "--texts", "nowhere.txt", "--out", "x.npz"], "--texts = nowhere.txt cannot be read"),
        (["sweep", "--config", "clip_emoji"], "the sweep has no axis; accepted is --axis PATH=VALUE,VALUE"),
        (["sweep", "--config", "clip_emoji", "--axis", "seed="], "--axis = seed= has no values"),
        (["sweep", "--config", "clip_emoji", "--axis", "optimizer.lr=1"], "optimizer.lr is not a setting"),
        (["sweep", "--config", "clip_emoji", "--axis", "model.image.heads=3,5", "--dry-run"], "model.image.heads = 5 does not divide"),
    ],
)
def test_wrong_input_is_exit_code_2_and_one_sentence(argv, said, capsys):
    assert main(argv) == 2
    assert said in sentence(capsys)


def test_a_workdir_that_cannot_be_written(tmp_path, capsys, trainer):
    (tmp_path / "file").write_text("")
    assert main(["train", "--config", "clip_emoji", "--workdir", str(tmp_path / "file" / "run")]) == 2
    assert "cannot be written" in sentence(capsys)
    assert not trainer.recipes


def test_a_workdir_is_tried_and_not_made(tmp_path):
    assert check_workdir(tmp_path / "a" / "b") == tmp_path / "a" / "b" and check_workdir(tmp_path) == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_a_refused_recipe_leaves_no_folder(tmp_path, capsys):
    assert main(["train", "--config", "clip_emoji", "--config.seed=-1", "--workdir", str(tmp_path / "run")]) == 2
    assert not (tmp_path / "run").exists()


def test_train_passes_the_recipe_on_and_ends_with_json(tmp_path, capsys, trainer):
    argv = [
        "train",
        "--config=clip_emoji:data",
        "--config.mesh.tensor=3",
        "--config.seed=7",
        "--workdir",
        str(tmp_path),
        "--profile=2:4",
        "--json",
    ]
    assert main(argv) == 0
    (recipe, workdir, profile), *_ = trainer.recipes
    assert (recipe.seed, recipe.mesh.tensor, recipe.data.train[0]) == (7, 3, "data/noto-train-*.tar")
    assert workdir == tmp_path and (profile.start, profile.stop) == (2, 4)
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[-1]) == {"loss": 1.5, "openmoji/t2i_r10": 0.25}
    assert any("openmoji/t2i_r10" in line and "0.25" in line for line in lines[:-1])


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (UserError("data.train = x matches nothing; accepted are shards"), 2),
        (Stopped("stopped and saved at step 3", code=130), 130),
        (Stopped("stopped and saved at step 3", code=75), 75),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(tmp_path, trainer, raised, code):
    trainer.answer = raised
    assert main(["train", "--config", "clip_emoji", "--workdir", str(tmp_path)]) == code


def test_only_the_first_process_speaks(tmp_path, trainer, capsys, monkeypatch):
    monkeypatch.setattr("diptych.launch.cli.is_first", lambda: False)
    monkeypatch.setattr("diptych.launch.distributed.is_first", lambda: False)
    assert main(["train", "--config", "clip_emoji", "--workdir", str(tmp_path), "--json"]) == 0
    trainer.answer = Stopped("stopped and saved at step 3", code=75)
    assert main(["train", "--config", "clip_emoji", "--workdir", str(tmp_path)]) == 75
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == ""


def test_a_bug_keeps_its_traceback(tmp_path, trainer):
    trainer.answer = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        main(["train", "--config", "clip_emoji", "--workdir", str(tmp_path)])


def test_dry_run_prints_the_resolved_recipe(capsys, tiny_config, tmp_path):
    argv = ["train", "--config", tiny_config, "--config.seed=5", "--dry-run", "--json", "--workdir", str(tmp_path / "run")]
    assert main(argv) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["recipe"]["seed"] == 5 and result["recipe"]["model"]["image"]["pool"] == "cls" and len(result["hash"]) == 64
    assert not list(tmp_path.iterdir())


def test_a_dry_run_prints_what_it_then_refuses(capsys):
    assert main(["train", "--config", "clip_emoji:nowhere", "--config.mesh.fsdp=1", "--config.mesh.tensor=4", "--dry-run", "--json"]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["mesh"]["tensor"] == 4
    assert "data.train = 'nowhere/noto-train-*.tar' matches no file" in captured.err


@pytest.mark.parametrize("text", ["3", "3:", ":3", "a:b", "3:3", "-1:3"])
def test_profile_wants_a_rising_range(text):
    with pytest.raises(UserError):
        train_verb.profiled_steps(text, total=20)
