"""Every sample of an epoch arrives once, and is the right one, from a server that fails in all ways; or the run fails in words."""

import concurrent.futures
import itertools
import random
import threading
import time

import numpy as np
import pytest

from diptych.data.block_order import BlockShuffle
from diptych.data.index import index_shards
from diptych.data.mixture import Mixture, Segment
from diptych.data.prefetch import Prefetcher, needs
from diptych.data.retry import Patience
from diptych.data.shard_cache import ShardCache

SHARDS, EACH, STREAMS = 8, 24, 4
STUBBORN = Patience(attempts=12, pause=0.005, longest_pause=0.02, stall=0.3)


@pytest.fixture(autouse=True)
def soon(monkeypatch, tmp_path):
    """Ranged reads wait no longer than fetches do."""
    monkeypatch.setattr("diptych.data.storage.Patience", lambda: STUBBORN)
    monkeypatch.setenv("DIPTYCH_CACHE", str(tmp_path / "index"))


@pytest.fixture
def indices(site, tmp_path, write_shard, sample_members):
    """(of the local files, of the same on the server)."""
    for shard in range(SHARDS):
        members = {}
        for number in range(shard * EACH, (shard + 1) * EACH):
            members |= {f"{number:04d}.{suffix}": data for suffix, data in sample_members(number).items()}
        path = write_shard(tmp_path / f"s-{shard}.tar", members)
        with open(path, "rb") as file:
            site.put(f"s-{shard}.tar", file.read())
    names = f"s-{{0..{SHARDS - 1}}}.tar"
    return index_shards([f"{tmp_path}/{names}"], setting="x"), index_shards([f"{site.url}/{names}"], setting="x")


class Run:
    """One epoch as a host with 8 decoding threads draws it."""

    def __init__(self, index, folder, *, limit, patience=STUBBORN, start=0):
        self.order = Mixture(
            {"x": BlockShuffle(index.counts, streams=STREAMS, block_samples=2 * EACH, key=3)},
            streams=STREAMS,
            segments=[Segment(0, {"x": 1.0})],
            key=3,
        )
        self.cache, self.start = ShardCache(folder, limit, patience=patience, chunk=20_000), start
        self.index = index.through(self.cache)
        coming = needs(self.order.uses(range(STREAMS), start), [index.shards])
        self.prefetcher = Prefetcher(self.cache, coming)

    def samples(self, count, *, pause=0.0):
        """The samples at `count` positions, in order."""
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for first in range(self.start, self.start + count, 16):
                self.prefetcher.advance(first)
                batch = range(first, min(first + 16, self.start + count))
                yield from pool.map(lambda position: self.index.read(self.order(position).sample), batch)
                time.sleep(pause)

    def close(self):
        self.prefetcher.close()


def faults(share, *, seed=0):
    draw = random.Random(seed)
    return lambda number: draw.choice(["503", "drop", "cut"]) if draw.random() < share else "stall" if draw.random() < 0.01 else None


def same(sample):
    return sample.key, {name: bytes(data) for name, data in sample.members.items()}


@pytest.mark.parametrize(("share", "shards"), [(0.0, 3.2), (0.2, 3.2), (0.2, 0.5), (0.2, 100)])
def test_no_sample_is_lost_repeated_or_replaced(indices, site, tmp_path, usage, share, shards):
    local, remote = indices
    assert local.fingerprint == remote.fingerprint
    limit = int(shards * max(shard.bytes for shard in remote.shards))
    site.fault = faults(share)
    run, most, done = Run(remote, tmp_path / "cache", limit=limit), [], threading.Event()

    def watch():
        while not done.wait(0.002):
            most.append(usage(tmp_path / "cache"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    read = list(map(same, run.samples(SHARDS * EACH, pause=0.01)))
    done.set()
    watcher.join()
    run.close()
    expected = [same(local.read(run.order(position).sample)) for position in range(SHARDS * EACH)]
    assert read == expected and len({key for key, _ in read}) == SHARDS * EACH
    assert max(most) <= limit and (shards < 1 or max(most) > min(limit, EACH * SHARDS * 2000) / 4)
    assert not share or sum(count for fault, count in site.faults.items() if fault) > 10


def test_a_cold_resume_reads_ranges_until_shards_have_come(indices, site, tmp_path):
    local, remote = indices
    site.pace = 0.02
    begun, asked = time.monotonic(), len(site.requests)
    run = Run(remote, tmp_path / "cache", limit=10**9, start=80)
    first = same(next(run.samples(16)))
    seconds = time.monotonic() - begun
    assert first == same(local.read(run.order(80).sample)) and seconds < 2
    ranged = [end - start for _, start, end in site.requests[asked:] if 1 < end - start < 20_000]
    assert ranged, "the first samples came from the store"
    deadline = time.monotonic() + 10
    while not all(run.cache.path(shard.url) for shard in remote.shards):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    asked = len(site.requests)
    rest = list(map(same, run.samples(64)))
    assert rest == [same(local.read(run.order(position).sample)) for position in range(80, 144)]
    assert len(site.requests) == asked, "now all of them are on disk"
    run.close()


@pytest.mark.parametrize("limit", [1000, 10**9])
@pytest.mark.parametrize("fault", ["503", "drop", "cut", "stall"])
def test_a_server_that_stays_down_fails_the_run_soon(indices, site, tmp_path, patience, monkeypatch, limit, fault):
    _, remote = indices
    monkeypatch.setattr("diptych.data.storage.Patience", lambda: patience)
    begun, site.fault = time.monotonic(), lambda number: fault
    run = Run(remote, tmp_path / "cache", limit=limit, patience=patience)
    with pytest.raises(OSError, match=rf"{site.url}/s-\d.tar.*: gave up after 5 attempts in .* s; the last one: "):
        list(run.samples(SHARDS * EACH))
    run.close()
    assert time.monotonic() - begun < 8


def test_a_shard_that_is_replaced_during_the_run_fails_it(indices, site, tmp_path):
    _, remote = indices
    run = Run(remote, tmp_path / "cache", limit=1000)
    samples = run.samples(SHARDS * EACH * 2)
    list(itertools.islice(samples, SHARDS * EACH))
    for name, content in list(site.files.items()):
        site.files[name] = bytes(np.frombuffer(content, np.uint8)[::-1])
    with pytest.raises(OSError, match=r"s-\d.tar.*was .*; is"):
        list(samples)
    run.close()
