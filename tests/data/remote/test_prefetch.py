"""Fetching ahead: in order of first use, within the limit, never in anyone's way."""

import itertools
import threading
import time

import pytest

from diptych.data.manifest import Shard
from diptych.data.order import Use
from diptych.data.prefetch import Need, Prefetcher, needs
from diptych.data.retry import Changed
from diptych.data.shard_cache import ShardCache
from diptych.data.storage import open_url

SIZE = 50_000


@pytest.fixture
def url_of(site, noise):
    names = {}

    def put(number, size=SIZE):
        if number not in names:
            names[number] = site.put(f"s-{number}.tar", noise(size, number))
        return names[number]

    return put


@pytest.fixture
def start(tmp_path, patience):
    """start(coming, shards=3): a prefetcher with a cache that holds so many shards."""
    made = []

    def new(coming, *, shards=3.5, **options):
        cache = ShardCache(tmp_path / "cache", int(shards * SIZE), patience=patience, chunk=16_384)
        made.append(Prefetcher(cache, iter(coming), **options))
        return cache, made[-1]

    yield new
    for prefetcher in made:
        prefetcher.close()


def until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


def held(cache, url_of, count=9):
    return [number for number in range(count) if cache.path(url_of(number))]


def one_by_one(url_of, count=9, each=100):
    return [Need(n * each, (n + 1) * each - 1, url_of(n), SIZE, None) for n in range(count)]


def test_shards_come_in_order_and_go_once_they_are_used(start, url_of, site, tmp_path, usage):
    cache, prefetcher = start(one_by_one(url_of), lanes=1)
    until(lambda: held(cache, url_of) == [0, 1, 2])
    time.sleep(0.05)
    assert held(cache, url_of) == [0, 1, 2]
    prefetcher.advance(99)
    assert held(cache, url_of)[0] == 0
    for step in range(1, 7):
        prefetcher.advance(step * 100)
        assert held(cache, url_of)[0] == step
        until(lambda step=step: held(cache, url_of) == [step, step + 1, step + 2])
        assert usage(tmp_path / "cache") <= 3.5 * SIZE
    prefetcher.advance(900)
    assert held(cache, url_of) == []
    assert [path for path, first, end in site.requests if first == 0 and end > 1] == [f"/s-{n}.tar" for n in range(9)]


def test_a_shard_of_two_blocks_stays_for_the_second(start, url_of, site):
    coming = [Need(0, 99, url_of(0), SIZE, None), Need(0, 99, url_of(1), SIZE, None), Need(100, 199, url_of(1), SIZE, None)]
    cache, prefetcher = start(coming)
    until(lambda: held(cache, url_of) == [0, 1])
    prefetcher.advance(100)
    assert held(cache, url_of) == [1] and site.sent("s-1.tar") == SIZE + 1
    prefetcher.advance(200)
    assert held(cache, url_of) == []


def test_a_block_larger_than_the_cache_stops_nothing(start, url_of):
    coming = [Need(0, 99, url_of(n), SIZE, None) for n in range(6)] + [Need(100, 199, url_of(n), SIZE, None) for n in range(6, 8)]
    cache, prefetcher = start(coming)
    until(lambda: len(held(cache, url_of, 6)) == 3)
    prefetcher.advance(50)
    time.sleep(0.05)
    assert len(held(cache, url_of, 6)) == 3
    prefetcher.advance(100)
    until(lambda: held(cache, url_of) == [6, 7])


def test_a_shard_larger_than_the_cache_is_left_out(start, url_of):
    url_of(0, size=5 * SIZE)
    coming = [Need(0, 99, url_of(0), 5 * SIZE, None), Need(0, 99, url_of(1), SIZE, None)]
    cache, _ = start(coming)
    until(lambda: held(cache, url_of) == [1])


def test_epochs_without_end_of_shards_that_fit_are_fetched_once(start, url_of, site):
    looked = []
    coming = (looked.append(e) or Need(100 * e + n, 100 * e + 99, url_of(n), SIZE, None) for e in itertools.count() for n in range(3))
    cache, prefetcher = start(coming)
    until(lambda: held(cache, url_of) == [0, 1, 2])
    for epoch in range(20):
        until(lambda epoch=epoch: looked[-1] > epoch + 1)
        prefetcher.advance(100 * epoch)
        assert held(cache, url_of) == [0, 1, 2]
    assert looked[-1] < 30
    assert sum(end - first for _, first, end in site.requests if end > 1) <= 3 * (SIZE + 1)


def test_what_is_past_before_it_came_is_not_fetched(start, url_of, site):
    gate = threading.Event()

    def coming():
        gate.wait(5)
        yield from one_by_one(url_of)

    cache, prefetcher = start(coming())
    prefetcher.advance(600)
    gate.set()
    until(lambda: held(cache, url_of) == [6, 7, 8])
    assert not [path for path, *_ in site.requests if path < "/s-6.tar"]


def test_a_store_that_stays_down_fails_the_run_in_words(start, url_of, site, patience):
    needs_ = one_by_one(url_of)
    site.fault = lambda number: "503"
    begun = time.monotonic()
    _, prefetcher = start(needs_, lanes=1)

    def failed():
        try:
            prefetcher.advance(0)
        except OSError as error:
            return f"fetching ahead failed: {url_of(0)}: gave up after 5 attempts" in str(error)
        return False

    until(failed)
    assert time.monotonic() - begun < 3


def test_a_shard_that_changed_fails_the_run_at_once(start, url_of, patience):
    etag = open_url(url_of(0), patience=patience).etag
    _, prefetcher = start([Need(0, 99, url_of(0), SIZE, etag), Need(0, 99, url_of(1), SIZE + 7, None)])
    with pytest.raises(OSError, match="has changed since it was indexed: it had 50007 bytes") as caught:
        until(lambda: prefetcher.advance(0))
    assert isinstance(caught.value.__cause__, Changed)


def test_needs_are_the_uses_of_shards_from_far_away():
    far, near = Shard("s3://b/a.tar", 7, "etag:x", 3), Shard("/data/b.tar", 8, None, 3)
    uses = [Use(0, 9, 0, 1), Use(3, 9, 1, 0), Use(5, 19, 0, 0)]
    assert list(needs(iter(uses), [[far, near], []])) == [Need(5, 19, "s3://b/a.tar", 7, "etag:x")]
