"""Shards behind URLs, in fsspec's own store in memory: what is asked for, what is taken on trust, what is refused."""

import json
import logging
import pickle
import struct

import fsspec
import pytest

from diptych import UserError
from diptych.data import stores
from diptych.data.beside import Beside
from diptych.data.index import Index, index_shards
from diptych.data.indexing import Indexing
from diptych.data.shards import find

FOLDER = "memory://bucket/set"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DIPTYCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def store(tmp_path, shards):
    """The three shards under FOLDER; `store.put(name, content)`."""

    class Store:
        files = fsspec.filesystem("memory")

        def put(self, name, content):
            self.files.pipe_file(f"/bucket/set/{name}", content)

    found = Store()
    shards()
    for shard in tmp_path.glob("s-*.tar"):
        found.put(shard.name, shard.read_bytes())
    yield found
    found.files.store.clear()
    found.files.pseudo_dirs[:] = [""]


@pytest.fixture
def requests(monkeypatch):
    """(path, bytes) of every ranged read."""
    asked, read = [], stores.AnyStore.read

    def spy(self, path, start, end, stat):
        asked.append((path.rpartition("/")[2], end - start))
        return read(self, path, start, end, stat)

    monkeypatch.setattr(stores.AnyStore, "read", spy)
    return asked


def test_the_same_index_as_of_local_files_with_one_request_a_shard(store, requests, tmp_path, sample_members):
    remote = index_shards([f"{FOLDER}/s-*.tar"], setting="data.train")
    assert [name for name, _ in sorted(requests)] == ["s-0.tar", "s-1.tar", "s-2.tar"]
    local = index_shards([f"{tmp_path}/s-*.tar"], setting="data.train")
    assert remote.fingerprint == local.fingerprint
    requests.clear()
    samples = [remote.read(number) for number in range(40)]
    assert [dict(sample.members) for sample in samples] == [sample_members(number) for number in range(40)]
    assert len(requests) == 40 and max(size for _, size in requests) < 10_000
    assert samples[0].shard.startswith("memory://") and samples[0].shard.endswith("/bucket/set/s-0.tar")


def test_a_second_start_asks_for_the_listing_alone(store, requests):
    index_shards([f"{FOLDER}/s-*.tar"], setting="x")
    requests.clear()
    index_shards([f"{FOLDER}/s-*.tar"], setting="x")
    assert requests == []
    store.put("s-1.tar", store.files.cat_file("/bucket/set/s-1.tar"))
    index_shards([f"{FOLDER}/s-*.tar"], setting="x")
    assert [name for name, _ in requests] == ["s-1.tar"]


def test_an_object_that_is_replaced_by_one_of_its_size_is_refused(store):
    index = index_shards([f"{FOLDER}/s-*.tar"], setting="x")
    store.put("s-1.tar", store.files.cat_file("/bucket/set/s-1.tar").replace(b"a", b"b"))
    assert index.read(39).key == "0039"
    with pytest.raises(OSError, match=r"s-1.tar has changed since it was indexed: it was created:.* and is created:"):
        index.read(20)


def test_a_manifest_beside_its_shards_far_away(store, requests, tmp_path, sample_members):
    Indexing(out=tmp_path / "all.json", setting="x").run(find([f"{tmp_path}/s-*.tar"], setting="x"))
    for name in ("all.json", json.loads((tmp_path / "all.json").read_text())["starts"]):
        store.put(name, (tmp_path / name).read_bytes())
    requests.clear()
    for asked in (2, 1):
        index = index_shards([f"{FOLDER}/all.json"], setting="x")
        assert len(requests) == asked and (index.shards[0].url, index.shards[0].etag) == (f"{FOLDER}/s-0.tar", None)
        assert [dict(index.read(number).members) for number in (0, 39)] == [sample_members(0), sample_members(39)]
        requests.clear()
    store.put("all.json", b"{}")
    with pytest.raises(UserError, match=r"x = 'memory://bucket/set/all.json' is not a manifest of shards"):
        index_shards([f"{FOLDER}/all.json"], setting="x")
    with pytest.raises(UserError, match=r"x = 'memory://bucket/set/none.json' cannot be read"):
        index_shards([f"{FOLDER}/none.json"], setting="x")
    assert not list((tmp_path / "cache").rglob(".diptych-*"))


def test_a_copy_of_a_manifest_is_compared_and_replaces_the_one_before(store, tmp_path):
    def put(pattern):
        Indexing(out=tmp_path / "all.json", setting="x").run(find([f"{tmp_path}/{pattern}"], setting="x"))
        starts = json.loads((tmp_path / "all.json").read_text())["starts"]
        for name in ("all.json", starts):
            store.put(name, (tmp_path / name).read_bytes())
        return starts

    def copies():
        return [path.name for path in (tmp_path / "cache" / "index").rglob("*.u32")]

    first = put("s-?.tar")
    index = index_shards([f"{FOLDER}/all.json"], setting="x")
    assert copies() == [first]
    second = put("s-[01].tar")
    assert len(index_shards([f"{FOLDER}/all.json"], setting="x")) == 26 and copies() == [second] and index.read(39).key == "0039"
    third = put("s-[02].tar")
    content = store.files.cat_file(f"/bucket/set/{third}")
    store.put(third, content[:-1] + b"x")
    with pytest.raises(UserError, match=r"lacks its starts of samples: 'all\.\w+\.u32' beside it is damaged"):
        index_shards([f"{FOLDER}/all.json"], setting="x")
    store.put(third, content)
    assert len(index_shards([f"{FOLDER}/all.json"], setting="x")) == 27 and not list((tmp_path / "cache").rglob(".diptych-*"))


def test_braces_lists_and_an_index_in_another_process(store, tmp_path):
    (tmp_path / "list.txt").write_text(f"# train\n{FOLDER}/s-{{0,2}}.tar\n\n{FOLDER}/s-1.tar\n")
    listed = index_shards([f"@{tmp_path}/list.txt"], setting="x")
    assert listed.fingerprint == index_shards([f"{FOLDER}/s-?.tar"], setting="x").fingerprint
    assert pickle.loads(pickle.dumps(listed)).read(39).key == "0039"


class OneShard:
    """What the shard cache looks like from here."""

    def __init__(self, url, path):
        self.url, self.local = url, path

    def path(self, url):
        return self.local if url == self.url else None


def test_a_shard_on_local_disk_is_read_there(store, requests, tmp_path):
    index = index_shards([f"{FOLDER}/s-*.tar"], setting="x")
    cached = index.through(OneShard(index.shards[1].url, str(tmp_path / "s-1.tar")))
    requests.clear()
    assert [cached.read(number) for number in range(40)] == [index.read(number) for number in range(40)]
    assert sum(name == "s-1.tar" for name, _ in requests) == 13 and len(requests) == 40 + 27
    (tmp_path / "s-1.tar").write_bytes(b"short")
    with pytest.raises(OSError, match=r"s-1.tar has changed since it was indexed"):
        index.through(OneShard(index.shards[1].url, str(tmp_path / "s-1.tar"))).read(15)


def stats(store, counts):
    for number, count in enumerate(counts):
        store.put(f"s-{number}_stats.json", json.dumps({"count": 20, "successes": count}).encode())


def test_counts_spare_the_reading_of_all_shards_but_one_a_folder(store, requests, tmp_path, sample_members):
    stats(store, [13, 13, 14])
    index = index_shards([f"{FOLDER}/s-*.tar"], setting="x")
    whole = [name for name, size in requests if size > 10_000]
    assert len(whole) == 1 and sum(shard.located for shard in index.shards) == 1
    assert index.fingerprint == index_shards([f"{tmp_path}/s-*.tar"], setting="x").fingerprint
    sent = pickle.loads(pickle.dumps(index))
    assert [dict(sent.read(number).members) for number in (39, 26, 13, 0, 38)] == [sample_members(n) for n in (39, 26, 13, 0, 38)]


def test_a_wrong_count_fails_when_indexed_or_at_the_latest_when_read(store):
    stats(store, [12, 12, 12])
    with pytest.raises(UserError, match=r"holds 1[34] samples where s-\d_stats.json says 12"):
        index_shards([f"{FOLDER}/s-*.tar"], setting="x")
    stats(store, [13, 13, 13])
    manifest = Indexing(out=None, setting="x", beside=believing(), threads=1).run(find([f"{FOLDER}/s-*.tar"], setting="x"))
    index = Index(manifest)
    index.read(25)
    with pytest.raises(OSError, match=r"s-2.tar holds 14 samples where s-2_stats.json says 13: index it again with .*--scan"):
        index.read(26)
    store.put("s-0_stats.json", json.dumps({"successes": 10**6}).encode())
    with pytest.raises(UserError, match=r"too few for the 1000000 samples that s-0_stats.json says"):
        Indexing(out=None, setting="x", beside=believing(), threads=1).run(find([f"{FOLDER}/s-0.tar"], setting="x"))


def believing():
    """Beside, for a folder whose first shard was found to be right."""
    beside = Beside()
    beside.to_prove(find([f"{FOLDER}/s-0.tar"], setting="x")[0].place)
    beside.to_prove(find([f"{FOLDER}/s-?.tar"], setting="x")[0].place)
    return beside


def test_starts_of_energon_spare_most_of_the_reading(store, requests, tmp_path):
    local = index_shards([f"{tmp_path}/s-*.tar"], setting="x")
    row = 0
    for shard in local.shards:
        starts = local._starts.array[row : row + shard.samples + 1]
        row += shard.samples + 1
        store.put(shard.url.rpartition("/")[2] + ".idx", struct.pack(f"<{len(starts)}Q", *(int(start) * 512 for start in starts)))
    remote = index_shards([f"{FOLDER}/s-*.tar"], setting="x")
    assert {shard.counted for shard in remote.shards} == {"s-0.tar.idx", "s-1.tar.idx", "s-2.tar.idx"}
    assert list(remote._starts.array) == list(local._starts.array)


def test_a_folder_without_what_other_tools_write_is_asked_once(store, requests, caplog):
    with caplog.at_level(logging.INFO):
        index_shards([f"{FOLDER}/s-*.tar"], setting="x")
    assert len(requests) == 3


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("https://host/x-*.tar", "is a glob, but https:// has no listings"),
        ("memory://bucket/none-*.tar", "matches no file"),
        ("memory://bucket/none.tar", "none.tar', which cannot be read"),
        ("https://host/x.tar.gz?key=1", "which is compressed"),
        ("nosuch://bucket/x-*.tar", "cannot be listed"),
        ("@none.txt", "names a list that cannot be read"),
        ("@empty.txt", "names a list without patterns"),
        ("@nested.txt", "names a list of lists"),
    ],
)
def test_refusals(tmp_path, monkeypatch, pattern, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("# nothing\n\n")
    (tmp_path / "nested.txt").write_text("@empty.txt\n")
    with pytest.raises(UserError, match=f"data.train (=|has) .*{words.replace('?', '.')}.*; accepted are"):
        index_shards([pattern], setting="data.train")
