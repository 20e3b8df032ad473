"""A recipe trains from another source with nothing changed but `data.source`."""

import io
import json

import pytest
import tensorflow_datasets as tfds
from PIL import Image

from diptych.data.draw_shapes import render
from diptych.data.shapes import caption, train_scenes
from diptych.launch.cli import main


class Scenes(tfds.core.GeneratorBasedBuilder):
    """64 scenes of shapes."""

    VERSION = tfds.core.Version("1.0.0")
    __module__ = "scenes"  # see tests/data/test_sources.py

    def _info(self):
        features = {"image": tfds.features.Image(shape=(None, None, 3)), "caption": tfds.features.Text()}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number, scene in enumerate(train_scenes(64, seed=3)):
            content = io.BytesIO()
            Image.fromarray(render(scene, 32)).save(content, "png")
            yield number, {"image": io.BytesIO(content.getvalue()), "caption": caption(scene)}


@pytest.fixture(scope="module")
def array_records(tmp_path_factory):
    builder = Scenes(data_dir=str(tmp_path_factory.mktemp("tfds")), file_format="array_record")
    builder.download_and_prepare()
    return str(builder.data_dir)


def train(capsys, config, workdir, *overrides):
    code = main(["train", "--config", config, "--workdir", str(workdir), "--json", "--config.train.steps=3", *overrides])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_array_records_of_tensorflow_datasets(tiny_config, array_records, tmp_path, capsys):
    source = f"--config.data.source=tfds:{array_records}#train"
    code, out, _ = train(capsys, tiny_config, tmp_path / "run", source)
    assert code == 0 and json.loads(out.splitlines()[-1])["loss"] > 0
    saved = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in saved if "loss" in line] == [1, 2, 3]


def test_a_mixture_of_sources(tiny_config, array_records, tmp_path, capsys):
    parts = [
        "--config.data.train=()",
        f"--config.data.mixture.records.source=tfds:{array_records}#train",
        "--config.data.mixture.drawn.weight=3",
    ]
    code, out, err = train(capsys, tiny_config, tmp_path / "run", *parts, "--config.data.mixture.drawn.source=shapes:64x32")
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["bad_samples"] == 0


def test_a_source_that_is_not_there(tiny_config, tmp_path, capsys):
    code, _, err = train(capsys, tiny_config, tmp_path / "run", "--config.data.source=tfds:no_such_data")
    assert code == 2 and "data.source = 'no_such_data' cannot be read as a TFDS data set" in err
    code, _, err = train(capsys, tiny_config, tmp_path / "run", "--config.data.source=zip")
    assert code == 2 and "data.source = " in err and len(err.strip().splitlines()) == 1
