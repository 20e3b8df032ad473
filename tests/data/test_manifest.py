"""The manifest: what it holds, how it is written, and what is refused."""

import dataclasses
import json
import os
import pickle
import shutil

import numpy as np
import pytest

from diptych import UserError
from diptych.data.index import Index, index_shards
from diptych.data.indexing import Indexing
from diptych.data.manifest import ManifestError, Shard, fingerprint, in_order
from diptych.data.manifest_file import read_manifest, write_manifest
from diptych.data.shards import find


@pytest.fixture
def manifest(tmp_path, shards):
    """A manifest beside its shards."""
    file = tmp_path / "all.json"
    Indexing(out=file, setting="x").run(find(shards(), setting="x"))
    return file


def test_what_it_says(manifest, tmp_path):
    content = json.loads(manifest.read_text())
    index = index_shards([f"{tmp_path}/s-*.tar"], setting="x")
    assert (content["format"], content["version"], content["samples"], content["fingerprint"]) == (
        "diptych-index",
        1,
        40,
        index.fingerprint,
    )
    first = content["shards"][0]
    assert (first["url"], first["samples"], first["extensions"]) == ("s-0.tar", 13, ["json", "png", "txt"])
    assert first["bytes"] == (tmp_path / "s-0.tar").stat().st_size and first["etag"].startswith("mtime:")
    assert (tmp_path / content["starts"]).stat().st_size == 4 * (40 + 3)


def test_training_reads_it_instead_of_shards_also_where_the_folder_moved(manifest, tmp_path, sample_members):
    whole = index_shards([f"{tmp_path}/s-*.tar"], setting="x")
    shutil.copytree(tmp_path, tmp_path / "moved")
    for name in list(tmp_path.glob("s-*.tar")):
        name.unlink()
    index = index_shards([f"{tmp_path}/moved/all.json"], setting="x")
    assert index.fingerprint == whole.fingerprint and list(index.counts) == [13, 13, 14]
    for number in range(40):
        sample = index.read(number)
        assert (sample.key, dict(sample.members), os.path.dirname(sample.shard)) == (
            f"{number:04d}", sample_members(number), f"{tmp_path}/moved",
        )  # fmt: skip


def test_a_mapped_index_travels_as_the_name_of_its_file(manifest):
    index = index_shards([str(manifest)], setting="x")
    copy = pickle.loads(pickle.dumps(index))
    assert str(manifest.parent).encode() in pickle.dumps(index._starts) and index._starts.array.tobytes()[4:12] not in pickle.dumps(index)
    assert copy.read(39) == index.read(39) and not copy._starts.array.flags.writeable
    with pytest.raises(IndexError):
        copy.read(40)
    with pytest.raises(IndexError):
        copy.read(-1)


def test_a_shard_of_another_size_is_an_io_error(manifest, tmp_path):
    with open(tmp_path / "s-1.tar", "ab") as file:
        file.write(bytes(512))
    index = index_shards([str(manifest)], setting="x")
    index.read(0)
    with pytest.raises(OSError, match=r"s-1.tar has changed since it was indexed: it had \d+ bytes and has"):
        index.read(13)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[:-20], "is not JSON"),
        (lambda text: "[" * 100_000, "is not JSON"),
        (lambda text: "[1]", "is not a manifest of shards"),
        (lambda text: text.replace('"version": 1', '"version": 9'), "has version 9 of the format, where 1 is read"),
        (lambda text: text.replace('"samples": 13', '"samples": 12'), "is damaged"),
        (lambda text: text.replace('"samples": 13', '"samples": -1'), "is damaged"),
        (lambda text: text.replace('"url"', '"place"'), "is damaged"),
        (lambda text: text.replace('"all.', '"../all.'), "is damaged"),
        (lambda text: text.replace('"all.', '"gone.'), "lacks its starts of samples in 'gone"),
    ],
)
def test_damaged_manifests_are_refused(manifest, change, words):
    manifest.write_text(change(manifest.read_text()))
    with pytest.raises(UserError, match=rf"data.train = '.*all.json' {words}.*; accepted is one manifest alone"):
        index_shards([str(manifest)], setting="data.train")


def test_starts_of_another_length_are_refused(manifest):
    starts = manifest.parent / json.loads(manifest.read_text())["starts"]
    os.truncate(starts, 80)
    with pytest.raises(ManifestError, match=r"has 20 starts of samples in 'all.*' where 43 belong"):
        read_manifest(manifest)


def test_a_manifest_stands_alone(manifest, tmp_path):
    with pytest.raises(UserError, match="names a manifest among others"):
        index_shards([str(manifest), f"{tmp_path}/s-0.tar"], setting="data.train")
    with pytest.raises(UserError, match=r"= 'gone.json' cannot be read \(No such file"):
        index_shards(["gone.json"], setting="data.train")


def test_order_and_fingerprint_do_not_depend_on_place():
    shards = [Shard("/b/x-1.tar", 10, "1", 1), Shard("/a/x-2.tar", 20, "2", 2), Shard("https://h/x-0.tar?key=/y", 30, None, 3)]
    moved = [Shard("gs://z/x-2.tar", 20, None, 2), Shard("gs://y/x-0.tar", 30, "9", 3), Shard("/x-1.tar", 10, "8", 1)]
    assert [shard.samples for shard in in_order(shards)] == [shard.samples for shard in in_order(moved)] == [3, 1, 2]
    assert fingerprint(in_order(shards)) == fingerprint(in_order(moved))
    assert fingerprint(in_order(shards)) != fingerprint(in_order([*moved[:2], dataclasses.replace(moved[2], samples=2)]))


def test_a_failed_write_leaves_what_was_there(manifest):
    before = {path.name: path.read_bytes() for path in manifest.parent.iterdir()}
    shards = read_manifest(manifest).shards

    def starts(shard):
        if shard == shards[2]:
            raise OSError("disk full")
        return np.zeros(shard.samples + 1)

    with pytest.raises(OSError, match="disk full"):
        write_manifest(manifest, shards, starts)
    assert {path.name: path.read_bytes() for path in manifest.parent.iterdir()} == before


def test_a_new_manifest_takes_the_place_of_the_old_one(manifest):
    old = read_manifest(manifest)
    rows = {shard.url: np.arange(shard.samples + 1) for shard in old.shards[:2]}
    new = write_manifest(manifest, old.shards[:2], lambda shard: rows[shard.url])
    assert new.samples == 26 and list(new.starts.array) == [*range(14), *range(14)]
    assert len(list(manifest.parent.glob("all.*"))) == 2
    assert Index(old).read(39).key == "0039"  # who had the old one mapped goes on
