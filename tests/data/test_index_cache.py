"""What was indexed once is not read again; what was interrupted goes on."""

import concurrent.futures
import json
import logging
import os
import pickle
import subprocess
import sys

import pytest

from diptych import UserError
from diptych.data import indexing
from diptych.data.index import index_shards
from diptych.data.index_manifest import cached_manifest
from diptych.data.indexing import Indexing
from diptych.data.journal import Journal
from diptych.data.manifest_file import read_manifest
from diptych.data.shards import find


@pytest.fixture
def reads(monkeypatch):
    """Base names of the shards whose headers were read; `reads.fail_at = n` interrupts before the n-th."""

    class Reads(list):
        fail_at = None

    names, read = Reads(), indexing.read_shard

    def spy(file, beside):
        if names.fail_at is not None and len(names) >= names.fail_at:
            raise KeyboardInterrupt
        names.append(os.path.basename(file.url))
        return read(file, beside)

    monkeypatch.setattr(indexing, "read_shard", spy)
    return names


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DIPTYCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_second_start_reads_nothing_and_a_change_reads_what_changed(shards, reads, sample_members, caplog):
    pattern = shards()[0]
    with caplog.at_level(logging.INFO):
        first = index_shards([pattern], setting="data.train")
    assert "data.train: reading the headers of 3 shards" in caplog.text and "40 samples in 3 shards" in caplog.text
    assert sorted(reads) == ["s-0.tar", "s-1.tar", "s-2.tar"]
    caplog.clear()
    reads.clear()
    with caplog.at_level(logging.INFO):
        assert index_shards([pattern], setting="data.train").fingerprint == first.fingerprint
    assert (reads, caplog.text) == ([], "")
    shards(bad={13: {"txt": b"another caption"}, 14: {"json": None}})
    for name in ("s-0.tar", "s-2.tar"):
        status = os.stat(os.path.join(os.path.dirname(pattern), name))
        os.utime(os.path.join(os.path.dirname(pattern), name), ns=(status.st_atime_ns, mtime(first, name)))
    with caplog.at_level(logging.INFO):
        index = index_shards([pattern], setting="data.train")
    assert reads == ["s-1.tar"] and "reading the headers of 1 shards, 2 are known" in caplog.text
    assert index.read(13).members["txt"] == b"another caption" and "json" not in index.read(14).members
    assert [dict(index.read(number).members) for number in (0, 12, 26, 39)] == [sample_members(number) for number in (0, 12, 26, 39)]


def mtime(index, name):
    return next(int(shard.etag.removeprefix("mtime:")) for shard in index.shards if shard.url.endswith(name))


def test_a_shard_that_is_replaced_by_one_of_its_size_after_the_start_is_refused(tmp_path, shards):
    index = index_shards(shards(), setting="data.train")
    (tmp_path / "other").write_bytes((tmp_path / "s-1.tar").read_bytes())
    os.replace(tmp_path / "other", tmp_path / "s-1.tar")
    assert index.read(0).key == "0000"
    for _ in range(2):
        with pytest.raises(OSError, match=r"s-1.tar has changed since it was indexed: it was mtime:\d+ and is mtime:\d+"):
            pickle.loads(pickle.dumps(index)).read(20)


def test_a_manifest_may_have_been_copied_with_its_shards(tmp_path, shards, sample_members, caplog):
    manifest = tmp_path / "all.json"
    index(manifest, shards())
    untouched = index_shards([str(manifest)], setting="data.train")
    untouched.read(39)
    assert caplog.text == ""
    for name in ("s-0.tar", "s-2.tar"):
        os.utime(tmp_path / name, ns=(0, 0))
    copied = index_shards([str(manifest)], setting="data.train")
    assert [dict(copied.read(number).members) for number in range(40)] == [sample_members(number) for number in range(40)]
    assert caplog.text.count("data.train: ") == caplog.text.count("was changed or copied after it was indexed") == 1


def test_shards_that_come_or_go_are_noticed(tmp_path, shards, reads, write_shard, sample_members):
    shards()
    pattern = f"{tmp_path}/s-*.tar"
    index_shards([pattern], setting="x")
    reads.clear()
    write_shard(tmp_path / "s-11.tar", {"new.txt": b"new"})
    grown = index_shards([pattern], setting="x")
    assert reads == ["s-11.tar"] and len(grown) == 41 and grown.read(26).key == "new"
    os.unlink(tmp_path / "s-1.tar")
    shrunk = index_shards([pattern], setting="x")
    assert reads == ["s-11.tar"] and len(shrunk) == 28 and dict(shrunk.read(27).members) == sample_members(39)


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path, shards, reads, monkeypatch, caplog):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DIPTYCH_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            assert index_shards(shards(), setting="x").read(39).key == "0039"
    assert len(reads) == 6 and "not kept, the cache folder cannot be written" in caplog.text


@pytest.mark.parametrize("damage", [lambda file: file.write_text("{"), lambda file: file.unlink(), lambda file: os.truncate(file, 10)])
@pytest.mark.parametrize("suffix", ["json", "u32"])
def test_a_damaged_cache_is_made_anew(shards, reads, cache, damage, suffix):
    pattern = shards()
    expected = index_shards(pattern, setting="x").read(20)
    damage(next((cache / "index").glob(f"*.{suffix}")))
    assert index_shards(pattern, setting="x").read(20) == expected and len(reads) == 6


def test_the_pattern_is_known_by_its_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cached_manifest(["a.tar"]) == cached_manifest([f"{tmp_path}/a.tar"]) != cached_manifest(["b/a.tar"])


def index(out, patterns):
    return Indexing(out=out, setting="x", threads=1).run(find(patterns, setting="x"))


def journal(out):
    return sorted(path.name for path in out.parent.glob(f"{out.name}.*"))


def test_an_interrupted_index_goes_on(tmp_path, shards, reads):
    patterns, out = shards(), tmp_path / "all.json"
    expected = index(tmp_path / "other.json", patterns)
    reads.clear()
    reads.fail_at = 2
    with pytest.raises(KeyboardInterrupt):
        index(out, patterns)
    assert not out.exists() and journal(out) == ["all.json.journal", "all.json.journal.u32"]
    reads.fail_at = None
    manifest = index(out, patterns)
    assert reads == ["s-0.tar", "s-1.tar", "s-2.tar"] and journal(out) == []
    assert manifest.shards == expected.shards and list(manifest.starts.array) == list(expected.starts.array)
    assert read_manifest(out).fingerprint == expected.fingerprint


@pytest.mark.parametrize(
    ("name", "damage", "left"),
    [
        ("all.json.journal", lambda data: data[:-5], 1),
        ("all.json.journal", lambda data: data + b'{"place":', 2),
        ("all.json.journal", lambda data: b"\0" * len(data), 0),
        ("all.json.journal.u32", lambda data: data[:-3], 1),
        ("all.json.journal.u32", lambda data: data[:-3] + b"xxx", 1),
        ("all.json.journal.u32", lambda data: b"", 0),
    ],
)
def test_a_journal_that_broke_off_is_used_as_far_as_it_is_whole(tmp_path, shards, reads, name, damage, left):
    patterns, out = shards(), tmp_path / "all.json"
    expected = index(tmp_path / "other.json", patterns)
    reads.clear()
    reads.fail_at = 2
    with pytest.raises(KeyboardInterrupt):
        index(out, patterns)
    file = tmp_path / name
    file.write_bytes(damage(file.read_bytes()))
    reads.fail_at = None
    reads.clear()
    assert list(index(out, patterns).starts.array) == list(expected.starts.array)
    assert len(reads) == 3 - left


def test_shards_that_changed_since_the_interruption_are_read_again(tmp_path, shards, reads):
    patterns, out = shards(), tmp_path / "all.json"
    reads.fail_at = 2
    with pytest.raises(KeyboardInterrupt):
        index(out, patterns)
    reads.fail_at = None
    shards(bad={0: {"txt": b"x" * 5000}})
    manifest = index(out, patterns)
    assert len(reads) == 5
    assert list(manifest.starts.array) == list(index(tmp_path / "other.json", patterns).starts.array)


def test_a_killed_index_goes_on(tmp_path, shards):
    """kill -9 after the first shard: the command line, as users run it."""
    patterns, out = shards(), tmp_path / "all.json"
    killing = (
        "import os, sys\nfrom diptych.data import indexing, journal\nadd = journal.Journal.add\n"
        "def die(self, shard, starts):\n    add(self, shard, starts)\n    os.kill(os.getpid(), 9)\n"
        "journal.Journal.add = die\nfrom diptych.launch.cli import main\nmain(sys.argv[1:])\n"
    )
    words = ["data", "index", *patterns, "--out", str(out), "--threads", "1", "--json"]
    killed = subprocess.run([sys.executable, "-c", killing, *words], capture_output=True)
    assert killed.returncode == -9 and not out.exists() and journal(out) == ["all.json.journal", "all.json.journal.u32"]
    again = subprocess.run([sys.executable, "-m", "diptych.launch.cli", *words], capture_output=True, text=True)
    result = json.loads(again.stdout.splitlines()[-1])
    assert (result["shards_read"], result["samples"], result["shards"]) == (2, 40, 3)
    assert "reading the headers of 2 of 3 shards" in again.stderr and journal(out) == []


def test_all_bad_shards_are_found_and_good_ones_are_not_read_again(tmp_path, shards, reads, caplog):
    patterns, out = shards(), tmp_path / "all.json"
    contents = {name: (tmp_path / name).read_bytes() for name in ("s-0.tar", "s-2.tar")}
    for name in contents:
        os.truncate(tmp_path / name, 3000)
    with pytest.raises(UserError, match=r"x has '.*s-0.tar', which is cut short at byte 3000 \(and 1 more of 3 shards are refused\)"):
        index(out, patterns)
    assert "s-2.tar is cut short" in caplog.text
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    reads.clear()
    assert index(out, patterns).samples == 40 and reads == ["s-0.tar", "s-2.tar"]


def test_several_processes_that_start_at_once_do_not_disturb_each_other(shards, reads, cache):
    patterns = shards()
    with Journal(cached_manifest_of(patterns, cache)) as held:
        assert not held.finished
        assert index_shards(patterns, setting="x").read(39).key == "0039"
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        indices = list(pool.map(lambda _: index_shards(patterns, setting="x"), range(8)))
    assert len({index.fingerprint for index in indices}) == 1 and all(index.read(39).key == "0039" for index in indices)
    assert sorted(path.suffix for path in (cache / "index").iterdir()) == [".json", ".u32"]


def cached_manifest_of(patterns, cache):
    (cache / "index").mkdir(parents=True)
    return cached_manifest(patterns)
