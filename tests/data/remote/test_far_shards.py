"""A training stream whose shards are behind HTTP makes the batches that local shards make, through a small cache and many faults."""

import dataclasses
import threading
import time
import types

import numpy as np
import pytest

from diptych.data import far_shards
from diptych.data.index import index_shards
from diptych.data.pipeline import TrainStream
from diptych.data.prefetch import Prefetcher
from diptych.data.spec import AugmentSpec, DataSpec
from diptych.errors import UserError

BATCH, STREAMS, STEPS, SHARDS = 16, 4, 30, 12
SPEC = DataSpec(order="block", streams=STREAMS, block_shards=1, image_size=8, augment=AugmentSpec(crop_scale=(0.4, 1.0)))


@pytest.fixture
def patterns(tmp_path, site, write_shard, sample_members):
    """(local, far): the same 12 shards of 20 samples."""
    for shard in range(SHARDS):
        members = {}
        for place in range(20):
            members |= {f"{place:03d}.{suffix}": data for suffix, data in sample_members(shard * 20 + place).items()}
        name = f"s-{shard:02d}.tar"
        write_shard(tmp_path / name, members)
        site.put(name, (tmp_path / name).read_bytes())
    return f"{tmp_path}/s-{{00..11}}.tar", f"{site.url}/s-{{00..11}}.tar"


def open_stream(pattern, words, *, start=0, **changes):
    sources = {"all": index_shards([pattern], setting="data.train")}
    spec = dataclasses.replace(SPEC, train=(pattern,), **changes)
    return TrainStream(
        spec, sources=sources, tokenizer=words, context_length=8, batch_size=BATCH, seed=1, slots=np.arange(BATCH), start=start * BATCH
    )


def batches(pattern, words, *, start=0, **changes):
    stream = open_stream(pattern, words, start=start, **changes)
    try:
        return [{name: value.copy() for name, value in next(stream).items()} for _ in range(STEPS - start)]
    finally:
        stream.close()


def assert_equal(found, expected):
    assert len(found) == len(expected)
    for batch, other in zip(found, expected):
        assert batch.keys() == other.keys()
        for name, value in batch.items():
            np.testing.assert_array_equal(value, other[name])


def test_the_same_batches_and_a_bounded_cache(patterns, site, words, tmp_path, usage):
    local, far = patterns
    expected = batches(local, words)
    shard = len(site.files["/s-00.tar"])
    limit = 6 * shard / 1e9
    most, done = [0], threading.Event()

    def watch():
        while not done.is_set():
            most.append(usage(tmp_path / "cache"))
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert_equal(batches(far, words, shard_cache=str(tmp_path / "cache"), shard_cache_gb=limit), expected)
    finally:
        done.set()
        watcher.join()
    assert shard < max(most) <= 6 * shard
    assert_equal(batches(far, words, start=11, shard_cache=str(tmp_path / "other"), shard_cache_gb=limit), expected[11:])


def test_faults_lose_and_replace_nothing(patterns, site, words, tmp_path):
    local, far = patterns
    expected = batches(local, words)
    index_shards([far], setting="data.train")
    site.fault = lambda number: {0: "503", 3: "drop", 6: "cut"}.get(number % 9)
    assert_equal(batches(far, words, shard_cache=str(tmp_path / "cache")), expected)
    assert {"503", "drop", "cut"} <= site.faults.keys()


def test_workers_share_the_cache(patterns, words, tmp_path):
    local, far = patterns
    assert_equal(batches(far, words, start=26, workers=2, shard_cache=str(tmp_path / "cache")), batches(local, words, start=26))


def test_local_shards_need_no_cache(patterns, words, tmp_path, monkeypatch):
    monkeypatch.setattr(far_shards, "open_cache", lambda spec: pytest.fail("a cache for local shards"))
    batches(patterns[0], words, start=STEPS - 1)


def test_a_cache_that_cannot_be_written_is_named(patterns, words, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"data\.shard_cache = .*/file/cache cannot be written"):
        batches(patterns[1], words, shard_cache=str(tmp_path / "file" / "cache"))


def test_a_failure_to_fetch_ahead_closes_the_stream(patterns, words, tmp_path, monkeypatch):
    def fail(self, position):
        raise OSError("fetching ahead failed: as told")

    stream = open_stream(patterns[1], words, shard_cache=str(tmp_path / "cache"))
    next(stream)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="as told"):
        patch.setattr(Prefetcher, "advance", fail)
        next(stream)
    assert not list((tmp_path / "cache" / "holders").iterdir()), "it holds no shards any more"
    stream.close()


def test_the_default_limit_does_not_shrink_with_what_the_cache_holds(tmp_path, monkeypatch):
    folder, disk = tmp_path / "cache", 100_000_000

    def free(path):
        return types.SimpleNamespace(free=disk - kept(folder))

    monkeypatch.setattr(far_shards.shutil, "disk_usage", free)
    limits = []
    for _ in range(3):
        cache = far_shards.open_cache(DataSpec(shard_cache=str(folder)))
        limits.append(cache.limit_bytes)
        (folder / "shards" / f"{len(limits)}").write_bytes(b"x" * 2**20)
        cache.close()
    assert limits == [disk // 2] * 3


def kept(folder):
    return sum(file.stat().st_blocks * 512 for file in folder.glob("*/*") if file.is_file())
