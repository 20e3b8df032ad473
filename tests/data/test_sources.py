"""Other sources give the samples that the same data as tars would give."""

import csv
import io
import json
import pickle

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from diptych.data.decode import image_of
from diptych.data.sources.open_source import open_source
from diptych.data.text import text_of
from diptych.errors import UserError

COUNT = 20


def png(number):
    content = io.BytesIO()
    Image.fromarray(np.full((12, 10, 3), number * 5, np.uint8)).save(content, "png")
    return content.getvalue()


class Greys(tfds.core.GeneratorBasedBuilder):
    """Grey pictures with captions."""

    VERSION = tfds.core.Version("1.0.0")
    __module__ = "greys"  # TFDS 4.9.10 takes a name with dots for a package, and looks for it with a library that it does not install

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "caption": tfds.features.Text(),
            "others": tfds.features.Sequence(tfds.features.Text()),
            "label": tfds.features.ClassLabel(num_classes=2),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(COUNT)}

    def _generate_examples(self, count):
        for number in range(count):
            row = {"caption": f"grey {number}", "others": [f"a {number}", f"b {number}"], "label": number % 2}
            yield number, {"image": io.BytesIO(png(number)), **row}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("sources")
    builder = Greys(data_dir=str(root), file_format="array_record")
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(num_shards=3))
    rows = [{"image": {"bytes": png(n), "path": None}, "caption": f"grey {n}", "label": n % 2} for n in range(COUNT)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), root / "greys.parquet", row_group_size=6)
    for number in range(COUNT):
        (root / f"{number}.png").write_bytes(png(number))
    with (root / "metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "text", "label"])
        table.writerows([f"{n}.png", f"grey {n}", n % 2] for n in range(COUNT))
    lines = [json.dumps({"file_name": f"{n}.png", "text": f"grey {n}", "label": n % 2}) for n in range(COUNT)]
    (root / "greys.jsonl").write_text("\n".join(lines) + "\n")
    return {
        "tfds": f"{builder.data_dir}#train",
        "parquet": str(root / "*.parquet"),
        "folder": str(root),
        "folder ": str(root / "greys.jsonl"),
    }


@pytest.mark.parametrize("kind", ["tfds", "parquet", "folder", "folder "])
def test_samples_and_counts(places, kind):
    source = open_source(kind.strip(), (places[kind],), setting="data")
    assert len(source) == COUNT == source.counts.sum()
    found = {}
    for number in range(len(source)):
        sample = source.read(number)
        grey = int(np.asarray(image_of(sample))[0, 0, 0]) // 5
        found[grey] = (text_of(sample, "txt"), text_of(sample, "label"))
    assert found == {number: (f"grey {number}", str(number % 2)) for number in range(COUNT)}


@pytest.mark.parametrize("kind", ["tfds", "parquet", "folder"])
def test_a_source_may_be_sent_to_another_process(places, kind):
    source = open_source(f"{kind}:{places[kind]}", (), setting="data")
    again = pickle.loads(pickle.dumps(source))
    assert again.fingerprint == source.fingerprint
    assert again.read(7) == source.read(7)


def test_several_captions_come_as_lines(places):
    sample = open_source("tfds", (places["tfds"],), setting="data").read(0)
    number = text_of(sample, "caption").removeprefix("grey ")
    assert text_of(sample, "others").splitlines() == [f"a {number}", f"b {number}"]


def test_part_of_a_split(places):
    half = open_source("tfds", (places["tfds"].replace("#train", "#train[:50%]"),), setting="data")
    assert len(half) == COUNT // 2 == half.counts.sum()


def test_shards_of_parquet_are_row_groups(places):
    assert open_source("parquet", (places["parquet"],), setting="data").counts.tolist() == [6, 6, 6, 2]


def test_content_changes_the_fingerprint(places, tmp_path):
    def table(text):
        (tmp_path / "t.jsonl").write_text(json.dumps({"file_name": "a.png", "text": text}))
        return open_source("folder", (str(tmp_path / "t.jsonl"),), setting="data").fingerprint

    assert table("one") != table("two")


def test_shapes_need_no_files():
    source = open_source("shapes:1500x32", (), setting="data")
    assert source.counts.tolist() == [1000, 500]
    sample = source.read(1234)
    assert image_of(sample).size == (32, 32) and text_of(sample, "txt").startswith(("a ", "two ", "three "))
    assert sample == open_source("shapes:1500x32", (), setting="data").read(1234)


@pytest.mark.parametrize(
    ("source", "where", "words"),
    [
        ("zip", ("x",), "data.source = 'zip' is unknown"),
        ("tfds", (), "data.train is empty"),
        ("tfds:no_such_data_set", (), "data.source = 'no_such_data_set' cannot be read as a TFDS data set"),
        ("folder", ("no-such-folder",), "data.train = 'no-such-folder' is not such a table"),
        ("parquet", (__file__,), "which is not a Parquet file"),
        ("shapes", ("many",), "data.train = 'many' is not a number of scenes"),
    ],
)
def test_wrong_places(source, where, words):
    with pytest.raises(UserError, match=words):
        open_source(source, where, setting="data")


def test_a_missing_image_is_an_input_output_error(tmp_path):
    (tmp_path / "t.jsonl").write_text(json.dumps({"file_name": "gone.png", "text": "x"}))
    with pytest.raises(OSError, match=r"gone\.png"):
        open_source("folder", (str(tmp_path / "t.jsonl"),), setting="data").read(0)
