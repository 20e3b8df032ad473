"""Mutated tars: no crash, no hang, nothing wrong read, nothing written; only TarError and UserError.

`DIPTYCH_FUZZ_TARS=10000 pytest tests/data/test_tar_fuzz.py` is the full run; CI runs a slice of it, the same cases each time.
"""

import io
import itertools
import os
import random
import signal
import struct
import tarfile

import pytest

from diptych import UserError
from diptych.data.index import Index
from diptych.data.indexing import Indexing
from diptych.data.scan import sample_members, scan
from diptych.data.shards import Found
from diptych.data.tar_names import TarError

CASES = int(os.environ.get("DIPTYCH_FUZZ_TARS", "1500"))
SLICE = 250
BLOCK = 512
SECONDS = 5  # a case takes about 2 ms


def base_tar(random):
    """A small tar with whatever writers write: long names, folders, links, empty and repeated members."""
    file = io.BytesIO()
    format = random.choice([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    folder = random.choice(["", "a.b/", "./", "d/" * 60, "ü/", "../"])
    with tarfile.open(fileobj=file, mode="w", format=format) as shard:
        for number in range(random.randrange(8)):
            for suffix in random.sample(["jpg", "txt", "json", "seg.png", "JPG", "0.txt"], random.randrange(1, 5)):
                info = tarfile.TarInfo(f"{folder}{random.choice([number, number, number, 0])}.{suffix}")
                info.size = random.choice([0, 1, 100, 511, 512, 513, 1500])
                if random.random() < 0.1:
                    info.name = random.choice(["no_dot", "__meta__/x.txt", ".hidden.x", "x" * 90 + "/" + "y" * 90 + ".txt"])
                if random.random() < 0.1:
                    info.type, info.linkname, info.size = random.choice([tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE]), "0.txt", 0
                if format == tarfile.PAX_FORMAT and random.random() < 0.2:
                    info.pax_headers = {"comment": "c" * random.randrange(900), "path": f"pax/{number}.txt"}
                shard.addfile(info, io.BytesIO(random.randbytes(info.size)))
    return bytearray(file.getvalue())


def headers(data):
    """Where something like a header is."""
    return [at for at in range(0, len(data) - BLOCK + 1, BLOCK) if data[at + 257 : at + 262] == b"ustar"]


def sign(data, at):
    """Makes a changed header valid again: the checksum of an adversary is right."""
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + BLOCK])


def flip(data, random):
    for _ in range(random.randrange(1, 6)):
        data[random.randrange(len(data))] = random.randrange(256)


def flip_header(data, random):
    at = random.choice(headers(data) or [0])
    data[at + random.randrange(BLOCK)] ^= 1 << random.randrange(8)


def cut(data, random):
    del data[random.randrange(len(data)) :]


def cut_at_block(data, random):
    del data[random.randrange(len(data) // BLOCK + 1) * BLOCK :]


def move_blocks(data, random):
    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
    one, other = random.randrange(len(blocks)), random.randrange(len(blocks))
    how = random.choice(["zero", "swap", "remove", "repeat"])
    if how == "zero":
        blocks[one] = bytes(BLOCK)
    elif how == "swap":
        blocks[one], blocks[other] = blocks[other], blocks[one]
    elif how == "remove":
        del blocks[one]
    else:
        blocks.insert(other, blocks[one])
    data[:] = b"".join(blocks)


def insert_noise(data, random):
    at = random.randrange(len(data))
    data[at:at] = random.randbytes(random.choice([1, BLOCK, 3 * BLOCK]))


def join(data, random):
    data += base_tar(random)


def forge_size(data, random):
    at = random.choice(headers(data) or [0])
    sizes = [b"77777777777\0", b"00000000000\0", b"-0000000001\0", b"0000001_000\0", b"\x80" + b"\xff" * 11, b"\xff" * 12, b" 1000      \0"]
    data[at + 124 : at + 136] = random.choice([*sizes, b"%011o\0" % random.randrange(3 * len(data)), random.randbytes(12)])
    sign(data, at)


def forge_kind(data, random):
    at = random.choice(headers(data) or [0])
    data[at + 156] = random.choice([*b"0123456789xXgLKSVNMDA", random.randrange(1, 256)])
    sign(data, at)


def forge_name(data, random):
    at = random.choice(headers(data) or [0])
    names = [b"", b"/", b"../../x.txt", b"/etc/x.txt", b"\xff\xfe.txt", b"0.jpg", b"a" * 100, b"a.txt/", b"..", b"\n.\n", b"1.\0txt"]
    name = random.choice(names)
    data[at : at + 100] = name + bytes(100 - len(name))
    sign(data, at)


def forge_pax(data, random):
    value = random.choice([b"9" * 20, b"-1", b"0", b"1000", b"x" * 3000, b"../a.txt", b"a/b.txt", b"\xff.txt", b"", b"5 path=7\n"])
    key = random.choice([b"path", b"size", b"GNU.sparse.major", b"hdrcharset", b"", b"pa\nth"])
    record = b" " + key + b"=" + value + b"\n"
    length = random.choice([len(record) + len(str(len(record) + 2)), 0, 3, 10**6, 10**20])
    content = random.choice([b"%d" % length, b"", b"-5", b"\0"]) + record
    header = bytearray(tarfile.TarInfo("pax").tobuf(tarfile.USTAR_FORMAT))
    header[124:136], header[156] = b"%011o\0" % len(content), random.choice(b"xxgXLK")
    sign(header, 0)
    at = random.choice([*headers(data), 0])
    data[at:at] = header + content + bytes(-len(content) % BLOCK)


def noise(data, random):
    data[:] = random.randbytes(random.choice([0, 1, 511, 512, 5000]))


def nothing(data, random):
    pass


MUTATIONS = [
    nothing, flip, flip_header, cut, cut_at_block, move_blocks, insert_noise, join, forge_size, forge_kind, forge_name, forge_pax, noise,
]  # fmt: skip


def mutated(case):
    choose = random.Random(case)
    data = base_tar(choose)
    for _ in range(choose.choice([1, 1, 1, 2, 3])):
        if len(data) >= BLOCK:
            choose.choice(MUTATIONS)(data, choose)
    return bytes(data)


def by_tarfile(data):
    """[(key, members)] as Python's tarfile reads the bytes, grouped by the documented rules."""
    samples = []
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:", errors="backslashreplace") as shard:
            for member in shard:
                folder, slash, base = member.name.rpartition("/")
                stem, dot, suffix = base.partition(".")
                named = stem and dot and ".." not in folder.split("/") and not member.name.startswith("__meta__")
                if not named or not (member.isreg() and member.type in tarfile.REGULAR_TYPES):
                    continue
                key, suffix = folder + slash + stem, suffix.lower()
                if not samples or samples[-1][0] != key or suffix in samples[-1][1]:
                    samples.append((key, {}))
                samples[-1][1][suffix] = shard.extractfile(member).read()
    except tarfile.ReadError:  # a global header and nothing else
        return []
    except UnicodeDecodeError:  # tarfile fails on pax records that are no UTF-8 where they say that they are
        return None
    return samples


def by_scan(data):
    """[(key, members)] as the index reads them. Raises TarError."""

    def read(offset, size):
        assert offset >= 0 and 0 <= size <= 1 << 20
        return data[offset : offset + size]

    starts = scan(read, len(data)).starts.astype(int) * BLOCK
    assert all(start < stop for start, stop in itertools.pairwise(starts)) and starts[-1] <= -(-len(data) // BLOCK) * BLOCK
    return [sample_members(data[start:stop]) for start, stop in itertools.pairwise(starts)]


@pytest.fixture
def alarm():
    """A case that hangs fails."""

    def late(*_):
        raise TimeoutError("a case hangs")

    before = signal.signal(signal.SIGALRM, late)
    yield lambda: signal.alarm(SECONDS)
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("first", range(0, CASES, SLICE))
def test_mutated_tars_are_read_as_tarfile_reads_them_or_refused(first, alarm):
    accepted = refused = 0
    for case in range(first, min(first + SLICE, CASES)):
        alarm()
        data = mutated(case)
        try:
            found = by_scan(data)
        except TarError as error:
            assert len(str(error)) < 300
            refused += 1
            continue
        accepted += 1
        assert by_tarfile(data) in (found, None), f"case {case}"
    assert accepted > SLICE / 10 and refused > SLICE / 4


@pytest.mark.parametrize("first", range(0, CASES, 5 * SLICE))
def test_mutated_files_are_indexed_or_refused_in_words_and_nothing_is_written(first, alarm, tmp_path):
    for case in range(first, min(first + 5 * SLICE, CASES), 5):
        alarm()
        data = mutated(case)
        file = tmp_path / "x.tar"
        file.write_bytes(data)
        try:
            index = Index(Indexing(out=None, setting="data.train", threads=1).run([Found(str(file))]))
        except UserError as error:
            assert str(error).startswith(f"data.train has {str(file)!r}, which ") and "\n" not in str(error)
            continue
        assert [(sample.key, sample.members) for sample in map(index.read, range(len(index)))] == by_scan(data), f"case {case}"
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]


@pytest.mark.parametrize("first", range(0, CASES // 5, SLICE))
def test_mutated_starts_of_energon_are_refused_or_read_wrong_by_no_one(first, alarm, tmp_path):
    """Whatever lies in `x.tar.idx`: each sample that is read is one of the shard's own, whole, and in their order."""
    from diptych.data.beside import Beside

    for case in range(first, min(first + SLICE, CASES // 5)):
        alarm()
        choose = random.Random(case)
        data = bytes(base_tar(choose))
        (tmp_path / "x.tar").write_bytes(data)
        whole = scan(lambda offset, size, data=data: data[offset : offset + size], len(data)).starts.astype(int)
        beside = bytearray(struct.pack(f"<{len(whole)}Q", *(whole * BLOCK)))
        for _ in range(choose.randrange(3)):
            choose.choice([flip, cut, insert_noise])(beside, choose) if beside else None
        (tmp_path / "x.tar.idx").write_bytes(beside)
        try:
            manifest = Indexing(out=None, setting="data.train", beside=Beside(), threads=1).run([Found(str(tmp_path / "x.tar"))])
        except UserError:
            continue
        assert list(manifest.starts.array) == list(whole), f"case {case}"
