import dataclasses
import shutil

import pytest

from diptych.data.sentence_piece import train_sentencepiece
from diptych.data.spec import DataSpec, TokenizerSpec
from diptych.data.tokenizers import load_tokenizer
from diptych.errors import UserError
from diptych.pretrain.export.export import export_run
from diptych.pretrain.run_folder import write_recipe
from diptych.pretrain.run_tokenizer import FOLDER, find_tokenizer, keep_tokenizer
from diptych.pretrain.spec import Recipe


@pytest.fixture
def spec(tmp_path, monkeypatch):
    """A tokenizer at a path that is relative to the current folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    train_sentencepiece(["a red square", "a blue ring"], vocab_size=40, out=tmp_path / "here/words.model", seed=0)
    return TokenizerSpec(kind="sentencepiece", path="words.model")


@pytest.fixture
def run(tmp_path, spec):
    """A run folder with its tokenizer."""
    workdir = tmp_path / "run"
    workdir.mkdir()
    keep_tokenizer(workdir, load_tokenizer(spec))
    write_recipe(workdir, Recipe(data=DataSpec(tokenizer=spec)))
    return workdir


def test_a_relative_path_is_found_from_another_folder(run, spec, tmp_path, monkeypatch):
    wanted = find_tokenizer(run, spec)
    monkeypatch.chdir(tmp_path)
    found = find_tokenizer(run, spec)
    assert found.fingerprint == wanted.fingerprint
    assert (found(["a red ring"], 8) == wanted(["a red ring"], 8)).all()


def test_the_path_that_is_there_comes_first(run, spec, tmp_path):
    train_sentencepiece(["other words"], vocab_size=30, out=tmp_path / "here/words.model", seed=0)
    assert find_tokenizer(run, spec).fingerprint == load_tokenizer(spec).fingerprint


def test_another_path_than_the_runs_is_refused_where_it_is_not_there(run, spec):
    with pytest.raises(UserError, match=r"data\.tokenizer\.path = 'nowhere' cannot be read"):
        find_tokenizer(run, dataclasses.replace(spec, path="nowhere"))


def test_a_folder_without_a_run_has_no_copy(tmp_path):
    with pytest.raises(UserError, match=r"data\.tokenizer\.path = 'nowhere' cannot be read"):
        find_tokenizer(tmp_path, TokenizerSpec(kind="sentencepiece", path="nowhere"))


def test_another_tokenizer_takes_the_place_of_the_first(run, tmp_path):
    (run / FOLDER / "of_another_kind.txt").write_text("")
    keep_tokenizer(run, train_sentencepiece(["other words"], vocab_size=30, out=tmp_path / "other.model", seed=0))
    assert [path.name for path in (run / FOLDER).iterdir()] == ["sentencepiece.model"]
    assert (run / FOLDER / "sentencepiece.model").read_bytes() == (tmp_path / "other.model").read_bytes()
    assert not list(run.glob("*.part"))


def test_training_keeps_it_and_an_export_finds_it(trained, squares_recipe, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    tokenizer = dataclasses.replace(squares_recipe.data.tokenizer, path="moved.model")
    write_recipe(run, dataclasses.replace(squares_recipe, data=dataclasses.replace(squares_recipe.data, tokenizer=tokenizer)))
    export_run(run, tmp_path / "model")
    assert (tmp_path / "model/sentencepiece.model").read_bytes() == (run / FOLDER / "sentencepiece.model").read_bytes()
