"""An exported model reads text as it was trained to: with the tokenizer's preset."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

import diptych
from diptych.data.spec import TokenizerSpec
from diptych.data.tokenizers import load_tokenizer
from diptych.errors import UserError
from diptych.pretrain.export.config import Origin, read_config
from diptych.pretrain.export.export import write


@pytest.fixture
def written(squares_recipe, tmp_path):
    """The files of a model that was trained with the preset `siglip`, and its tokenizer."""
    spec = dataclasses.replace(squares_recipe.data.tokenizer, preset="siglip")
    recipe = dataclasses.replace(squares_recipe, data=dataclasses.replace(squares_recipe.data, tokenizer=spec))
    origin = Origin(recipe="squares", hash="0", manifest="0", steps=1, samples=8)
    write(tmp_path, recipe, tokenizer=load_tokenizer(spec), origin=origin, weights={"x": np.zeros(1)}, metrics="", name="x")
    return tmp_path, load_tokenizer(spec)


def test_the_folder_names_the_preset(written):
    folder, tokenizer = written
    config = read_config(folder)
    found = TokenizerSpec(kind=config.tokenizer, path=str(folder / config.tokenizer_file), preset=config.tokenizer_preset)
    assert config.tokenizer_preset == "siglip" and load_tokenizer(found).fingerprint == tokenizer.fingerprint


def test_text_is_read_with_it(exported, tmp_path):
    texts = ["A_RED, square!"]
    plain = diptych.load(exported)
    folder = with_preset(exported, tmp_path / "model", "siglip")
    preset = diptych.load(folder)
    np.testing.assert_allclose(preset.encode_text(texts), preset.encode_text(["ared square"]), atol=1e-6)
    assert np.abs(plain.encode_text(texts) - plain.encode_text(["ared square"])).max() > 1e-3


def test_a_folder_from_before_has_none(exported, tmp_path):
    assert read_config(exported).tokenizer_preset is None
    config = json.loads((exported / "config.json").read_text())
    folder = shutil.copytree(exported, tmp_path / "model")
    del config["tokenizer_preset"]
    (folder / "config.json").write_text(json.dumps(config))
    assert diptych.load(folder).encode_text("blue").shape == (1, 32)


def test_an_unknown_preset_is_refused(exported, tmp_path):
    with pytest.raises(UserError, match=r"preset = 'gemma3' is unknown"):
        diptych.load(with_preset(exported, tmp_path / "model", "gemma3"))


def with_preset(exported, folder, preset):
    shutil.copytree(exported, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tokenizer_preset": preset}))
    return folder
