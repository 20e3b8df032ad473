import json

import pytest
from safetensors.numpy import load_file

import diptych
from diptych.errors import UserError
from diptych.pretrain.export import export
from diptych.pretrain.export.export import export_run


def test_the_folder_holds_all_that_its_use_needs(exported, trained, squares_recipe):
    assert {path.name for path in exported.iterdir()} == {"model.safetensors", "config.json", "sentencepiece.model", "README.md"}
    config = json.loads((exported / "config.json").read_text())
    assert config["format"] == "diptych-encoder" and config["image_size"] == 32 and config["resize"] == "shortest"
    assert config["model"]["text"]["context_length"] == 8 and len(config["model"]["image"]["mean"]) == 3
    assert config["origin"]["steps"] == 2 and config["origin"]["samples"] == 16
    assert config["origin"]["hash"] == json.loads((trained / "recipe.json").read_text())["hash"]
    weights = load_file(exported / "model.safetensors")
    assert {str(value.dtype) for value in weights.values()} == {"float32"}
    assert "model.image.patch" in weights and "objective.terms.softmax.logit_scale" in weights


def test_it_is_used_without_the_run(trained, tmp_path, monkeypatch):
    export_run(trained, tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    monkeypatch.chdir(tmp_path)
    assert diptych.load("there").encode_text("blue").shape == (1, 32)


def test_the_card_says_where_the_model_comes_from(exported, squares_recipe):
    card = (exported / "README.md").read_text()
    for part in ("# squares", "`squares`", "2 steps, 16 samples", squares_recipe.data.train[0], "| squares | i2t_r1 |", "At step 2"):
        assert part in card


def test_the_cards_program_runs(exported, shard, tmp_path, monkeypatch, capsys):
    card = (exported / "README.md").read_text()
    code = card.partition("```python\n")[2].partition("```")[0]
    from PIL import Image

    Image.new("RGB", (50, 40), "red").save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(code.replace('"squares"', repr(str(exported))), {})
    assert capsys.readouterr().out.startswith("[[")


def test_an_earlier_step_without_an_evaluation(trained, tmp_path):
    assert export_run(trained, tmp_path / "model", step=1)["step"] == 1
    assert "Not evaluated before" in (tmp_path / "model" / "README.md").read_text()


def test_the_same_model_again_changes_nothing(trained, tmp_path):
    first = export_run(trained, tmp_path / "model")
    written = (tmp_path / "model" / "config.json").stat().st_mtime_ns
    assert export_run(trained, tmp_path / "model") == first
    assert (tmp_path / "model" / "config.json").stat().st_mtime_ns == written
    with pytest.raises(UserError, match=r"--out = .*model is not empty"):
        export_run(trained, tmp_path / "model", step=1)


def test_a_folder_with_something_in_it_is_refused_untouched(trained, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"--out = .* is not empty; accepted is a folder that is absent or empty"):
        export_run(trained, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_nothing_is_left_of_an_export_that_fails(trained, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "save_file", full)
    with pytest.raises(UserError, match=r"--out = .* cannot be written \(No space left on device\)"):
        export_run(trained, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
