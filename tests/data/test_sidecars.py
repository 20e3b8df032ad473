"""Counts and starts of samples that img2dataset, wids and Energon wrote beside shards."""

import json
import re
import struct
import tarfile

import numpy as np
import pytest

from diptych import UserError
from diptych.data.beside import Beside
from diptych.data.index import index_shards
from diptych.data.index_manifest import index_manifest
from diptych.data.indexing import Indexing
from diptych.data.shards import find


def energon_index(path):
    """`x.tar.idx` as Energon's preparation writes it: where each sample's first member starts, then where tarfile stopped."""
    starts, last = [], None
    with tarfile.open(path) as shard:
        for member in shard:
            match = re.match(r"^((?:.*/|)[^.]+)[.]([^/]*)$", member.name)
            if member.isreg() and match and match[1] != last:
                starts.append(member.offset)
                last = match[1]
        starts.append(shard.offset)
    write_starts(path, starts)
    return starts


def write_starts(path, starts):
    path.with_name(path.name + ".idx").write_bytes(b"".join(struct.pack("<Q", start) for start in starts))


def manifest_of(pattern, beside):
    return Indexing(out=None, setting="data.train", beside=beside).run(find([str(pattern)], setting="data.train"))


@pytest.fixture
def shard(tmp_path, shards):
    shards()
    return tmp_path / "s-0.tar"


def test_starts_of_energon_are_those_of_the_headers(shard):
    scanned = manifest_of(shard, None)
    energon_index(shard)
    imported = manifest_of(shard, Beside())
    assert imported.shards[0].counted == "s-0.tar.idx" and scanned.shards[0].counted == "headers"
    assert imported.fingerprint == scanned.fingerprint
    assert np.array_equal(imported.starts.array, scanned.starts.array)
    assert imported.shards[0].extensions == scanned.shards[0].extensions == ("json", "png", "txt")


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_starts_of_energon_with_long_names_and_one_sample(tmp_path, write_shard, format):
    for name, members in {
        "one.tar": {"d.d/" * 40 + "a.b.txt": b"1"},
        "none.tar": {},
        "two.tar": {"d/" * 80 + "a.txt": b"1", "b.txt": b"2"},
    }.items():
        write_shard(tmp_path / name, members, format=format)
        energon_index(tmp_path / name)
        assert np.array_equal(manifest_of(tmp_path / name, Beside()).starts.array, manifest_of(tmp_path / name, None).starts.array)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda starts: starts[:-2] + starts[-1:], "a sample of that file is none, or several"),
        (lambda starts: starts[1:], "a sample of that file is none, or several"),
        (lambda starts: [*starts[:6], *starts[7:]], "a sample of that file is none, or several"),
        (lambda starts: [starts[0], starts[0] + 1024, *starts[1:]], "does not fit: from a start of that file on it"),
        (lambda starts: starts[::-1], "holds no rising starts"),
        (lambda starts: [start + 7 for start in starts], "holds no rising starts"),
        (lambda starts: [], "holds no rising starts"),
        (lambda starts: [*starts[:-1], 1 << 40], "where s-0.tar.idx says more than"),
        (lambda starts: [0], "holds 13 samples where s-0.tar.idx says 0"),
    ],
)
def test_starts_that_do_not_fit_are_refused(shard, change, words):
    write_starts(shard, change(energon_index(shard)))
    with pytest.raises(UserError, match=rf"data.train has '.*s-0.tar', which .*{words}.*--scan"):
        index_shards([str(shard)], setting="data.train")
    assert manifest_of(shard, None).samples == 13


def stats(shard, successes):
    shard.with_name("s-0_stats.json").write_text(json.dumps({"count": 20, "successes": successes, "status_dict": {"success": successes}}))


def wids(shard, samples, **more):
    rows = [{"url": f"elsewhere/{shard.name}", "nsamples": samples, **more}]
    shard.with_name("index.json").write_text(json.dumps({"wids_version": 1, "name": "x", "shardlist": rows}))


def test_counts_that_are_right_change_nothing(shard):
    stats(shard, 13)
    wids(shard, 13, filesize=shard.stat().st_size)
    shard.with_name("other.json").write_text("[1, {}]")
    shard.with_name("broken.json").write_text("{")
    shard.with_name("deep.json").write_text("[" * 100_000)
    assert len(index_shards([str(shard)], setting="data.train")) == 13


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda shard: stats(shard, 12), "holds 13 samples where s-0_stats.json says 12"),
        (lambda shard: stats(shard, None), "has s-0_stats.json beside it, which says no number of successes"),
        (lambda shard: wids(shard, 14), "holds 13 samples where index.json says 14"),
        (lambda shard: wids(shard, 13, filesize=5), "where index.json says 5"),
    ],
)
def test_counts_that_are_wrong_are_refused(shard, write, words):
    write(shard)
    with pytest.raises(UserError, match=f"which {words}|bytes {words}"):
        index_manifest([str(shard)], setting="data.train")
