"""Other sources give the samples that the same data as tars would give."""

import csv
import io
import json
import pickle
import shutil

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from diptych.data.bad import BadSample
from diptych.data.decode import image_of
from diptych.data.sources.open_source import open_source
from diptych.data.sources.parquet import KEPT_GROUPS
from diptych.data.text import text_of
from diptych.errors import UserError

COUNT = 20
SETTINGS = {"setting": "data.source", "places_setting": "data.train"}


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
    source = open_source(kind.strip(), (places[kind],), **SETTINGS)
    assert len(source) == COUNT == source.counts.sum()
    found = {}
    for number in range(len(source)):
        sample = source.read(number)
        grey = int(np.asarray(image_of(sample))[0, 0, 0]) // 5
        found[grey] = (text_of(sample, "txt"), text_of(sample, "label"))
    assert found == {number: (f"grey {number}", str(number % 2)) for number in range(COUNT)}


@pytest.mark.parametrize("kind", ["tfds", "parquet", "folder"])
def test_a_source_may_be_sent_to_another_process(places, kind):
    source = open_source(f"{kind}:{places[kind]}", (), **SETTINGS)
    again = pickle.loads(pickle.dumps(source))
    assert again.fingerprint == source.fingerprint
    assert again.read(7) == source.read(7)


def test_several_captions_come_as_lines(places):
    sample = open_source("tfds", (places["tfds"],), **SETTINGS).read(0)
    number = text_of(sample, "caption").removeprefix("grey ")
    assert text_of(sample, "others").splitlines() == [f"a {number}", f"b {number}"]


def test_part_of_a_split(places):
    half = open_source("tfds", (places["tfds"].replace("#train", "#train[:50%]"),), **SETTINGS)
    assert len(half) == COUNT // 2 == half.counts.sum()


def test_shards_of_parquet_are_row_groups(places):
    assert open_source("parquet", (places["parquet"],), **SETTINGS).counts.tolist() == [6, 6, 6, 2]


def test_content_changes_the_fingerprint(places, tmp_path):
    def table(text):
        (tmp_path / "t.jsonl").write_text(json.dumps({"file_name": "a.png", "text": text}))
        return open_source("folder", (str(tmp_path / "t.jsonl"),), **SETTINGS).fingerprint

    assert table("one") != table("two")


def test_shapes_need_no_files():
    source = open_source("shapes:1500x32", (), **SETTINGS)
    assert source.counts.tolist() == [1000, 500]
    sample = source.read(1234)
    assert image_of(sample).size == (32, 32) and text_of(sample, "txt").startswith(("a ", "two ", "three "))
    assert sample == open_source("shapes:1500x32", (), **SETTINGS).read(1234)


@pytest.mark.parametrize(
    ("source", "where", "words"),
    [
        ("zip", ("x",), "data.source = 'zip' is unknown"),
        ("tfds", (), "data.train is empty and data.source = 'tfds'"),
        ("tfds:no_such_data_set", (), "data.source = 'no_such_data_set' cannot be read as a TFDS data set"),
        ("folder", ("no-such-folder",), "data.train = 'no-such-folder' is not such a table"),
        ("parquet", (__file__,), "which is not a Parquet file"),
        ("shapes", ("many",), "data.train = 'many' is not a number of scenes"),
    ],
)
def test_wrong_places(source, where, words):
    with pytest.raises(UserError, match=words):
        open_source(source, where, **SETTINGS)


def test_a_missing_image_is_an_input_output_error(tmp_path):
    (tmp_path / "t.jsonl").write_text(json.dumps({"file_name": "gone.png", "text": "x"}))
    with pytest.raises(OSError, match=r"gone\.png"):
        open_source("folder", (str(tmp_path / "t.jsonl"),), **SETTINGS).read(0)


def write_table(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "a.png").write_bytes(png(1))
    return open_source("folder", (str(tmp_path / name),), **SETTINGS)


def test_a_comma_that_is_not_quoted_is_refused_by_its_row(tmp_path):
    with pytest.raises(UserError, match=r"row 2 has more fields than there are columns"):
        write_table(tmp_path, "t.csv", "file_name,text\na.png,fine\na.png,a cat, asleep\n")


def test_a_name_that_no_file_has_is_refused(tmp_path):
    with pytest.raises(UserError, match="no column with the name of a file"):
        write_table(tmp_path, "t.jsonl", json.dumps({"file_name": "a\0.png", "text": "x"}))


def test_unicode_line_ends_stay_within_a_line(tmp_path):
    source = write_table(tmp_path, "t.jsonl", json.dumps({"file_name": "a.png", "text": "one\u2028two\u0085three"}, ensure_ascii=False))
    assert text_of(source.read(0), "txt") == "one\u2028two\u0085three"


def test_half_a_surrogate_pair_is_a_bad_sample(tmp_path):
    source = write_table(tmp_path, "t.jsonl", r'{"file_name": "a.png", "text": "\ud83d"}')
    with pytest.raises(BadSample, match="not UTF-8"):
        text_of(source.read(0), "txt")


def test_a_column_called_as_an_image_gives_way_to_the_image(tmp_path):
    source = write_table(tmp_path, "t.csv", "file_name,text,jpg\na.png,x,7\n")
    assert image_of(source.read(0)).size == (10, 12)


def test_a_line_end_within_one_of_several_captions_is_a_blank(tmp_path):
    source = write_table(tmp_path, "t.jsonl", json.dumps({"file_name": "a.png", "texts": ["a\nb", "c"]}))
    assert source.read(0).members["texts"] == b"a b\nc"


def test_row_groups_of_all_files_are_kept_within_one_bound(tmp_path):
    for file in range(6):
        rows = [{"image": png(n), "text": f"{file} {n}"} for n in range(8)]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / f"{file}.parquet", row_group_size=2)
    source = open_source("parquet", (str(tmp_path / "*.parquet"),), **SETTINGS)
    for number in range(len(source)):
        source.read(number)
    kept = source._parts[0]._groups._kept
    assert all(part._groups._kept is kept for part in source._parts) and len(kept._values) == KEPT_GROUPS < 24


def test_parquet_of_another_content_has_another_fingerprint(tmp_path):
    def fingerprint(text):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"image": png(1), "text": text}]), tmp_path / "a.parquet")
        return open_source("parquet", (str(tmp_path / "a.parquet"),), **SETTINGS).fingerprint

    assert fingerprint("aaa") != fingerprint("aab")


def test_an_empty_split_and_a_broken_record_are_named(places, tmp_path):
    with pytest.raises(UserError, match="cannot be read as a TFDS data set"):
        open_source("tfds", (places["tfds"].replace("#train", "#train[5:3]"),), **SETTINGS)
    copied = tmp_path / "copy"
    shutil.copytree(places["tfds"].partition("#")[0], copied)
    for file in copied.glob("*array_record*"):
        file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises((UserError, OSError), match="cannot be read"):
        open_source("tfds", (f"{copied}#train",), **SETTINGS).read(0)


def test_a_thousand_million_shapes_cost_nothing():
    source = open_source("shapes:1000000000x16", (), **SETTINGS)
    assert len(source) == 1_000_000_000 and source.read(999_999_999) != source.read(1)
