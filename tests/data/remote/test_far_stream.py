"""A training stream over shards on a server: the same batches as from local ones, through a cache that is filled ahead."""

import dataclasses
import time

import numpy as np
import pytest

from diptych.data.index import index_shards
from diptych.data.pipeline import TrainStream

COUNT, BATCH = 60, 8


@pytest.fixture
def places(site, tmp_path, write_shard, sample_members):
    """(patterns on disk, patterns on the server) of six shards."""
    urls, paths = [], []
    for shard in range(6):
        members = {f"{shard}{n:03d}.{suffix}": data for n in range(10) for suffix, data in sample_members(shard * 10 + n).items()}
        paths.append(write_shard(tmp_path / f"s-{shard}.tar", members))
        urls.append(site.put(f"s-{shard}.tar", (tmp_path / f"s-{shard}.tar").read_bytes()))
    return paths, urls


def stream(patterns, spec, words, **changes):
    sources = {"train": index_shards(patterns, setting="data.train")}
    spec = dataclasses.replace(spec, order="block", streams=4, block_shards=1, **changes)
    return TrainStream(spec, sources=sources, tokenizer=words, context_length=16, batch_size=BATCH, seed=0, slots=np.arange(4))


def taken(stream, count):
    try:
        return [next(stream) for _ in range(count)]
    finally:
        stream.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_far_shards_give_the_same_batches(places, spec, words, tmp_path, assert_same, workers):
    near, far = places
    expected = taken(stream(near, spec, words), 20)
    assert_same(taken(stream(far, spec, words), 3), expected[:3])
    assert_same(taken(stream(far, spec, words, shard_cache=str(tmp_path / "cache"), workers=workers), 20), expected)


def test_shards_are_fetched_ahead(places, spec, words, tmp_path):
    running = stream(places[1], spec, words, shard_cache=str(tmp_path / "cache"))
    end = time.monotonic() + 10
    while not list((tmp_path / "cache" / "shards").glob("*")) and time.monotonic() < end:
        time.sleep(0.01)
    running.close()
    assert list((tmp_path / "cache" / "shards").glob("*"))
