"""The pixels that an exported model sees are those of the recipe's evaluation."""

import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image

from diptych.data.image_presets import PRESETS, preprocessing
from diptych.data.spec import DataSpec
from diptych.data.transforms import evaluated
from diptych.pretrain.export.config import ExportConfig, Origin, read_config, write_config
from diptych.pretrain.export.images import load_images
from diptych.pretrain.spec import ModelSpec

ORIGIN = Origin(recipe="r", hash="h", manifest="m", steps=1, samples=2)


def config_of(spec):
    found = preprocessing(spec)
    return ExportConfig(
        model=ModelSpec(),
        image_size=found.size,
        resize=found.resize,
        interpolation=found.interpolation,
        resize_size=found.resize_size,
        exif=spec.decode.exif,
        tokenizer="clip_bpe",
        tokenizer_file="merges",
        origin=ORIGIN,
    )


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_a_presets_pixels_survive_the_export(preset, tmp_path):
    spec = DataSpec(image_size=32, preset=preset, interpolation="bilinear")
    write_config(tmp_path, config_of(spec))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8))
    assert np.array_equal(load_images([image], read_config(tmp_path))[0], evaluated(image, spec))


def test_a_model_of_before_the_presets_is_read(tmp_path):
    write_config(tmp_path, config_of(DataSpec(image_size=32)))
    content = json.loads((tmp_path / "config.json").read_text())
    older = {key: value for key, value in content.items() if key not in ("interpolation", "resize_size", "exif")}
    (tmp_path / "config.json").write_text(json.dumps(older))
    config = read_config(tmp_path)
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    assert np.array_equal(load_images([image], config)[0], evaluated(image, DataSpec(image_size=32)))


def test_orientation_is_followed_where_training_did(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file, "png", exif=exif)
    (tmp_path / "turned.png").write_bytes(file.getvalue())
    config = config_of(DataSpec(image_size=32))
    as_it_lies = load_images([tmp_path / "turned.png"], config)[0]
    for image in (tmp_path / "turned.png", Image.open(file)):
        upright = load_images([image], dataclasses.replace(config, exif="rotate"))[0]
        assert np.array_equal(upright, np.rot90(as_it_lies, k=-1))
