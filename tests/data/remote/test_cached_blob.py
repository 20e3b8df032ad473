"""Shards that lie on local disk are read there, whoever else uses them."""

import os
import time

import pytest

from diptych.data.cached_blob import CachedBlob
from diptych.data.shard_cache import ShardCache
from diptych.data.storage import open_url

SIZE = 50_000


@pytest.fixture
def shard(site, noise, patience):
    """(url, size, etag) on the server."""
    blob = open_url(site.put("a.tar", noise(SIZE)), patience=patience)
    return blob.url, blob.size, blob.etag


@pytest.fixture
def make(tmp_path, patience):
    """make(): a cache in the test's folder, as another process would have it."""
    made = []

    def new():
        made.append(ShardCache(tmp_path / "cache", 10 * SIZE, patience=patience))
        return made[-1]

    yield new
    for cache in made:
        cache.close()


def test_another_holder_does_not_send_readers_to_the_store(make, shard, site, noise):
    cache, content = make(), noise(SIZE)
    cache.fetch(*shard)
    blob = CachedBlob(shard[0], size=SIZE, etag=shard[2], cache=cache)
    assert blob.pread(0, 100) == content[:100]
    asked = len(site.requests)
    for start in range(3):
        time.sleep(0.01)  # file systems tell times in steps of some milliseconds
        make().fetch(*shard)
        assert blob.pread(start, 100) == content[start : start + 100]
    assert len(site.requests) == asked


def test_a_file_whose_times_change_is_opened_anew(make, shard, site, noise):
    cache = make()
    path = cache.fetch(*shard)
    blob = CachedBlob(shard[0], size=SIZE, etag=shard[2], cache=cache)
    blob.pread(0, 100)
    os.utime(path, ns=(0, 0))
    assert blob.pread(0, 100) == noise(SIZE)[:100]
    asked = len(site.requests)
    assert blob.pread(7, 100) == noise(SIZE)[7:107] and len(site.requests) == asked


def test_the_shard_used_longest_ago_goes_first(tmp_path, site, noise, patience):
    shards = [(site.put(f"{number}.tar", noise(SIZE, number)), SIZE, None) for number in range(3)]
    shards = [(url, size, open_url(url, patience=patience).etag) for url, size, _ in shards]
    for chosen in (shards[0], shards[1], shards[0]):
        time.sleep(0.01)
        cache = ShardCache(tmp_path / "cache", 2 * SIZE + 1000, patience=patience)
        cache.fetch(*chosen)
        cache.close()
    cache = ShardCache(tmp_path / "cache", 2 * SIZE + 1000, patience=patience)
    cache.fetch(*shards[2])
    asked = len(site.requests)
    cache.fetch(*shards[0])
    assert len(site.requests) == asked
    cache.close()
