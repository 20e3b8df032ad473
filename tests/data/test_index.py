import gzip
import io
import os
import pickle
import resource
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from diptych import UserError
from diptych.data import open_shards
from diptych.data.index import index_shards

LONG = "a_folder.with.dots/" + "deep/" * 30 + "x" * 120
LINKS = {tarfile.DIRTYPE: "d.e", tarfile.SYMTYPE: "b.txt", tarfile.LNKTYPE: "c.txt", tarfile.FIFOTYPE: "p.txt"}


def samples_by_tarfile(path):
    """(key, members) as WebDataset groups them, read by Python's tarfile."""
    samples = []
    with tarfile.open(path) as shard:
        for member in shard:
            folder, slash, base = member.name.rpartition("/")
            stem, dot, suffix = base.partition(".")
            if member.isreg() and stem and dot and not member.name.startswith("__meta__"):
                key = folder + slash + stem
                if not samples or samples[-1][0] != key:
                    samples.append((key, {}))
                samples[-1][1][suffix.lower()] = shard.extractfile(member).read()
    return samples


def odd_tar(path, format):
    names = [
        "a.txt",
        "a.PNG",
        "no_dot",
        "a.json",
        "__meta__/b.txt",
        ".hidden.txt",
        LONG + ".txt",
        LONG + ".seg.png",
        "ünï/ö.txt",
        "d.e/f.g.txt",
    ]
    with tarfile.open(path, "w", format=format) as shard:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size = number * 300
            shard.addfile(info, io.BytesIO(bytes([number]) * info.size))
            for kind, other in LINKS.items():
                extra = tarfile.TarInfo(other)
                extra.type, extra.linkname, extra.size = kind, LONG, 0
                shard.addfile(extra)
        empty = tarfile.TarInfo("z.txt")
        shard.addfile(empty)
    return str(path)


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_odd_tars_are_read_as_tarfile_reads_them(tmp_path, format):
    path = odd_tar(tmp_path / "odd.tar", format)
    index = index_shards([path], setting="data.train")
    expected = samples_by_tarfile(path)
    assert len(expected) == 5
    assert [(sample.key, dict(sample.members)) for sample in map(index.read, range(len(index)))] == expected


def test_large_pax_size_and_global_header(tmp_path):
    path = tmp_path / "p.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "global"}) as shard:
        for name in ("a.txt", "b.txt"):
            info = tarfile.TarInfo(name)
            info.size = 3
            info.pax_headers = {"size": "3", "path": f"pax/{name}"}
            shard.addfile(info, io.BytesIO(b"abc"))
    index = index_shards([str(path)], setting="data.train")
    assert [index.read(sample).key for sample in range(2)] == ["pax/a", "pax/b"]


def test_empty_tars_count_for_nothing(tmp_path, shards, write_shard):
    write_shard(tmp_path / "s-9.tar", {})
    index = index_shards([*shards(), f"{tmp_path}/s-9.tar"], setting="data.train")
    assert [shard.samples for shard in index.shards] == [13, 13, 14, 0]
    assert index.read(39).key == "0039"


def members_of(path):
    index = index_shards([str(path)], setting="data.train")
    return [(sample.key, dict(sample.members)) for sample in map(index.read, range(len(index)))]


def test_several_images_and_captions_and_missing_members(tmp_path, write_shard):
    names = ["d.d/a.jpg", "d.d/a.seg.png", "d.d/a.txt", "d.d/a.0.txt", "d.d/b.txt", "d.d/c.jpg", "e.e/c.jpg", "e.e/c.json"]
    write_shard(tmp_path / "x.tar", {name: name.encode() for name in names})
    assert [(key, sorted(found)) for key, found in members_of(tmp_path / "x.tar")] == [
        ("d.d/a", ["0.txt", "jpg", "seg.png", "txt"]), ("d.d/b", ["txt"]), ("d.d/c", ["jpg"]), ("e.e/c", ["jpg", "json"]),
    ]  # fmt: skip


def test_repeated_keys_are_samples_of_their_own_and_named(tmp_path, caplog):
    with tarfile.open(tmp_path / "x.tar", "w") as shard:
        for number, name in enumerate(["a.txt", "a.jpg", "b.txt", "a.txt", "c.txt", "c.TXT", "c.jpg"]):
            info = tarfile.TarInfo(name)
            info.size = 1
            shard.addfile(info, io.BytesIO(b"%d" % number))
    assert members_of(tmp_path / "x.tar") == [
        ("a", {"txt": b"0", "jpg": b"1"}), ("b", {"txt": b"2"}), ("a", {"txt": b"3"}),
        ("c", {"txt": b"4"}), ("c", {"txt": b"5", "jpg": b"6"}),
    ]  # fmt: skip
    assert "data.train: 2 samples have a key that came before in their shard (1 shards, such as" in caplog.text


def test_names_that_climb_links_and_devices_are_passed_over_and_nothing_is_written(tmp_path):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    with tarfile.open(inside / "x.tar", "w") as shard:
        for name in ("../x.txt", "ok.txt", "d/../../y.txt", "a..b/c.txt"):
            info = tarfile.TarInfo(name)
            info.size = 2
            shard.addfile(info, io.BytesIO(b"ab"))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo("evil.txt")
            info.type, info.linkname = kind, "../../evil"
            shard.addfile(info)
    assert members_of(inside / "x.tar") == [("ok", {"txt": b"ab"}), ("a..b/c", {"txt": b"ab"})]
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "b", "x.tar"]


def test_patterns(tmp_path, shards, monkeypatch):
    whole = index_shards(shards(), setting="data.train")
    monkeypatch.chdir(tmp_path)
    for patterns in (
        ["s-*.tar"],
        ["s-{0,1}.tar", "s-[2].tar"],
        ["s-0.tar", "s-*.tar"],
        ["**/s-*.tar"],
        ["./s-0.tar", f"{tmp_path}/s-*.tar", f"file://{tmp_path}/s-1.tar"],
    ):
        assert [os.path.basename(shard.url) for shard in index_shards(patterns, setting="x").shards] == ["s-0.tar", "s-1.tar", "s-2.tar"]
        assert index_shards(patterns, setting="x").fingerprint == whole.fingerprint


def test_fingerprint_follows_content_not_place(tmp_path, shards):
    whole = index_shards(shards(), setting="data.train")
    shutil.copytree(tmp_path, tmp_path / "elsewhere", dirs_exist_ok=True)
    assert index_shards([f"{tmp_path}/elsewhere/s-*.tar"], setting="data.train").fingerprint == whole.fingerprint
    again = index_shards([f"{tmp_path}/s-{{1,0,2}}.tar"], setting="data.train")
    assert again.fingerprint == whole.fingerprint and [again.read(n) for n in range(40)] == [whole.read(n) for n in range(40)]
    assert index_shards([f"{tmp_path}/s-{{0,1}}.tar"], setting="data.train").fingerprint != whole.fingerprint


def test_threads_share_an_index_with_few_open_files(shards, sample_members, monkeypatch):
    monkeypatch.setattr(open_shards, "OPEN_FILES", 1)
    open_shards.open_shards.cache_clear()
    index = index_shards(shards(), setting="data.train")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(index.read, list(range(40)) * 10))
    assert [dict(sample.members) for sample in found[:40]] == [sample_members(number) for number in range(40)]
    assert [sample.key for sample in found] == [f"{number:04d}" for number in range(40)] * 10


def test_all_sources_together_keep_within_the_open_files_of_the_process(tmp_path, write_shard):
    for number in range(40):
        write_shard(tmp_path / f"s-{number:02d}.tar", {"a.txt": b"1"})
    indices = [index_shards([f"{tmp_path}/s-*.tar"], setting="x") for _ in range(5)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 80, hard))
    open_shards.open_shards.cache_clear()
    try:
        assert {index.read(number).members["txt"] for number in range(40) for index in indices} == {b"1"}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        open_shards.open_shards.cache_clear()


def test_pickled_index_reads(shards):
    index = index_shards(shards(), setting="data.train")
    index.read(0)
    assert pickle.loads(pickle.dumps(index)).read(20) == index.read(20)


def test_changed_shard_is_an_io_error(tmp_path, shards):
    index = index_shards(shards(), setting="data.train")
    os.truncate(tmp_path / "s-0.tar", 700)
    with pytest.raises(OSError, match="has changed since it was indexed"):
        index.read(5)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("absent-*.tar", "data.train = 'absent-.*' matches no file; accepted"),
        ("s-{0..3}.tar", "data.train = 's-{0..3}.tar' matches no file 's-3.tar'; accepted"),
        ("s-{0..3.tar", "data.train = .* has unbalanced braces"),
        (".", "matches the folder"),
        ("x.tar.gz", "matches 'x.tar.gz', which is compressed"),
        ("compressed.tar", "'compressed.tar', which is compressed"),
        ("text.tar", "'text.tar', which is not a tar"),
        ("short.tar", "'short.tar', which is cut short at byte 1000"),
        ("damaged.tar", "'damaged.tar', which has a damaged header at byte 1024"),
        ("sparse.tar", "'sparse.tar', which holds a sparse file"),
        ("zero.tar", "'zero.tar', which is empty .0 bytes"),
        ("no_end.tar", "'no_end.tar', which is cut short at byte 2048: the zeros that end a tar are missing"),
        ("joined.tar", "'joined.tar', which goes on behind its end at byte 2048"),
        ("hole.tar", "'hole.tar', which goes on behind its end at byte 1024"),
        ("empty.tar", "holds no samples"),
    ],
)
def test_refusals(tmp_path, shards, write_shard, monkeypatch, pattern, words):
    shards()
    monkeypatch.chdir(tmp_path)
    whole = (tmp_path / "s-0.tar").read_bytes()
    two = (tmp_path / write_shard(tmp_path / "two.tar", {"a.txt": b"1", "b.txt": b"2"})).read_bytes()
    files = {
        "x.tar.gz": gzip.compress(whole),
        "compressed.tar": gzip.compress(whole),
        "text.tar": b"not a tar at all " * 100,
        "short.tar": whole[:1000],
        "damaged.tar": two[:1030] + b"#" + two[1031:],
        "empty.tar": bytes(10240),
        "zero.tar": b"",
        "no_end.tar": two[:2048],
        "joined.tar": two + two,
        "hole.tar": two[:1024] + bytes(512) + two[1536:],
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    info = tarfile.TarInfo("a.txt")
    info.type = tarfile.GNUTYPE_SPARSE
    (tmp_path / "sparse.tar").write_bytes(info.tobuf() + bytes(1024))
    with pytest.raises(UserError, match=words):
        index_shards([pattern], setting="data.train")


def test_no_patterns():
    with pytest.raises(UserError, match=r"eval\.tasks\.x\.data is empty"):
        index_shards([], setting="eval.tasks.x.data")
