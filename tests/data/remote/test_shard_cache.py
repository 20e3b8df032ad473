"""The shard cache: whole shards alone, never too many bytes, whoever is killed."""

import dataclasses
import errno
import hashlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time

import pytest

from diptych.data import shard_download, shard_part
from diptych.data.cache_folder import NoRoom
from diptych.data.prefetch import Need, Prefetcher
from diptych.data.retry import Changed
from diptych.data.shard_cache import Closed, ShardCache
from diptych.data.storage import open_url
from diptych.errors import UserError

SIZE, CHUNK = 100_000, 16_384


@pytest.fixture
def make(tmp_path, patience):
    """make(limit): a cache in the test's folder, as another process would have it."""
    made = []

    def new(limit=10 * SIZE, **options):
        made.append(ShardCache(tmp_path / "cache", limit, patience=options.pop("patience", patience), chunk=CHUNK, **options))
        return made[-1]

    yield new
    for cache in made:
        cache.close()


@pytest.fixture
def shard(site, noise, patience):
    """shard(number) -> (url, size, etag) on the server."""

    def put(number, size=SIZE):
        blob = open_url(site.put(f"s-{number}.tar", noise(size, number)), patience=patience)
        return blob.url, blob.size, blob.etag

    return put


def content(path):
    with open(path, "rb") as file:
        return file.read()


def test_a_shard_is_fetched_once_and_released(make, shard, site, noise):
    cache, (url, size, etag) = make(), shard(0)
    assert cache.path(url) is None
    path = cache.fetch(url, size, etag)
    assert path == cache.path(url) == cache.fetch(url, size, etag) and content(path) == noise(SIZE, 0)
    assert pickle.loads(pickle.dumps(cache)).path(url) == path
    assert site.sent("s-0.tar") == SIZE + 2
    cache.release(url)
    assert cache.path(url) is None and not os.path.exists(path)
    cache.release(url)


def test_what_no_one_holds_stays_until_its_room_is_wanted(make, shard, site, usage, tmp_path):
    first, shards = make(limit=2 * SIZE + 1000), [shard(number) for number in range(3)]
    for each in shards[:2]:
        first.fetch(*each)
    with pytest.raises(NoRoom, match="taken by shards that are in use"):
        first.fetch(*shards[2])
    assert first.path(shards[0][0]) and usage(tmp_path / "cache") <= 2 * SIZE + 1000
    first.close()
    second = make(limit=2 * SIZE + 1000)
    assert second.path(shards[0][0]) is None
    asked = len(site.requests)
    second.fetch(*shards[1])
    assert len(site.requests) == asked, "it was on disk"
    second.fetch(*shards[2])
    assert second.path(shards[1][0]) and usage(tmp_path / "cache") <= 2 * SIZE + 1000


def test_a_shard_larger_than_the_cache_evicts_nothing(make, shard, site):
    cache, small, large = make(limit=SIZE + 1000), shard(0), shard(1, size=2 * SIZE)
    before = make(limit=SIZE + 1000)
    before.fetch(*small)
    before.close()
    with pytest.raises(NoRoom, match="too many for the whole shard cache"):
        cache.fetch(*large)
    asked = len(site.requests)
    cache.fetch(*small)
    assert len(site.requests) == asked


def test_two_holders_share_one_file_and_the_last_one_drops_it(make, shard, site, usage, tmp_path):
    one, two, each = make(), make(), shard(0)
    assert os.path.samefile(one.fetch(*each), two.fetch(*each)) and site.sent("s-0.tar") == SIZE + 2
    one.release(each[0])
    assert one.path(each[0]) is None and len(content(two.path(each[0]))) == SIZE
    two.release(each[0])
    assert usage(tmp_path / "cache") == 0


def test_a_released_shard_frees_its_bytes_though_a_reader_has_it_open(make, shard):
    cache, each = make(), shard(0)
    with open(cache.fetch(*each), "rb") as reader:
        cache.release(each[0])
        assert os.fstat(reader.fileno()).st_size == 0


def test_another_version_of_a_shard_is_another_shard(make, shard, site, noise, patience):
    each = shard(0)
    make().fetch(*each)
    site.put("s-0.tar", noise(SIZE, 9))
    with pytest.raises(Changed, match="has changed since it was indexed"):
        make(limit=20 * SIZE).fetch(each[0], each[1], "etag:other")
    fresh = open_url(each[0], patience=patience)
    assert content(make().fetch(each[0], SIZE, fresh.etag)) == noise(SIZE, 9)
    with pytest.raises(Changed):
        make().fetch(each[0], SIZE - 1, None)


@pytest.mark.parametrize("url", ["{site}/../../../../etc/x.tar", "{site}/%2e%2e/%2f..%2fx.tar", "{site}//a/../b?c=../../d#../../e"])
def test_nothing_is_written_outside_of_the_folder(make, site, noise, tmp_path, patience, url):
    before = {path for path in tmp_path.parent.rglob("*") if (tmp_path / "cache") not in path.parents}
    cache = make()
    url = url.format(site=site.url)
    site.files = type("Any", (dict,), {"get": lambda self, path: noise(1000)})()
    path = cache.fetch(url, 1000, None)
    assert os.path.dirname(os.path.dirname(os.path.dirname(path))) == str(tmp_path / "cache")
    after = {path for path in tmp_path.parent.rglob("*") if (tmp_path / "cache") not in path.parents}
    assert after - before <= {tmp_path / "cache"}


def test_a_wrong_checksum_is_fetched_again_then_refused(make, shard, site, monkeypatch, noise):
    url, size, etag = shard(0)
    digests = iter(["0" * 32, "0" * 32, "0" * 32])
    monkeypatch.setattr(shard_part.Part, "checksum", lambda part, algorithm: next(digests))
    stat = open_url(url)._store.stat(url)
    monkeypatch.setattr(type(open_url(url)._store), "stat", lambda store, path: dataclasses.replace(stat, checksum="md5:" + "1" * 32))
    cache = make()
    with pytest.raises(Changed, match="2 downloads had another checksum than md5:1111"):
        cache.fetch(url, size, etag)
    assert cache.path(url) is None and site.sent("s-0.tar") > 2 * SIZE


def with_checksum(monkeypatch, url, content):
    """The server tells the MD5 of its file, as stores do."""
    store = type(open_url(url)._store)
    told = dataclasses.replace(open_url(url)._store.stat(url), checksum=f"md5:{hashlib.md5(content).hexdigest()}")
    monkeypatch.setattr(store, "stat", lambda store, path: told)


def test_a_download_that_was_damaged_is_mended_by_the_second(make, shard, site, monkeypatch, noise):
    (url, size, etag), write, written = shard(0), shard_part.Part.write, []
    with_checksum(monkeypatch, url, noise(SIZE, 0))

    def damage(part, number, data):
        written.append(number)
        write(part, number, bytes(len(data)) if len(written) == 3 else data)

    monkeypatch.setattr(shard_part.Part, "write", damage)
    assert content(make().fetch(url, size, etag)) == noise(SIZE, 0)
    assert len(written) == 2 * -(-SIZE // CHUNK)


def test_what_has_no_version_is_not_kept_for_the_next_process(make, site, noise):
    site.etags = False
    url = site.put("a.tar", noise(SIZE))
    first = make()
    assert content(first.fetch(url, SIZE, "")) == content(first.fetch(url, SIZE, "")) == noise(SIZE)
    assert site.sent("a.tar") < 1.1 * SIZE
    first.close()
    site.put("a.tar", noise(SIZE, 1))
    for version in ("", None):
        assert content(make().fetch(url, SIZE, version)) == noise(SIZE, 1)


def test_a_version_that_is_not_said_is_that_of_now(make, shard, site, noise):
    url, size, _ = shard(0)
    first = make()
    first.fetch(url, size, None)
    first.close()
    asked = site.sent("s-0.tar")
    assert content(make().fetch(url, size, None)) == noise(SIZE, 0) and site.sent("s-0.tar") == asked + 1
    site.put("s-0.tar", noise(SIZE, 1))
    assert content(make().fetch(url, size, None)) == noise(SIZE, 1)


def test_a_full_disk_is_said_by_its_setting(make, shard, monkeypatch, tmp_path):
    each, cache = shard(0), make()

    def write(part, number, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shard_part.Part, "write", write)
    words = f"data.shard_cache = {tmp_path}/cache is on a disk that is full .*; accepted is .* or a smaller data.shard_cache_gb"
    with pytest.raises(UserError, match=words):
        cache.fetch(*each)
    prefetcher = Prefetcher(cache, iter([Need(0, 9, *each)]))
    with pytest.raises(UserError, match=words):
        while True:
            prefetcher.advance(0)
    prefetcher.close()


def test_a_checksum_that_no_package_reckons_is_told_of_once(make, shard, monkeypatch, caplog, noise):
    shards = [shard(0), shard(1)]
    stat = type(open_url(shards[0][0])._store).stat
    told = lambda store, path: dataclasses.replace(stat(store, path), checksum="crc32c:00000000")  # noqa: E731
    monkeypatch.setattr(type(open_url(shards[0][0])._store), "stat", told)
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    shard_download._say_unverified.cache_clear()
    cache = make()
    for each in shards:
        cache.fetch(*each)
    assert caplog.text.count("not compared with their crc32c") == 1 and "google-crc32c" in caplog.text


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_checksums_are_of_the_content(tmp_path, algorithm):
    (tmp_path / "p").write_bytes(b"x" * 10)
    part = shard_part.Part(tmp_path / "p", tmp_path / "r", size=10, chunk=3)
    for number in part.missing:
        offset, size = part.range(number)
        part.write(number, b"abcdefghij"[offset : offset + size])
    assert part.checksum(algorithm) == hashlib.new(algorithm, b"abcdefghij").hexdigest()
    part.close(sync=True)


def test_an_interrupted_fetch_goes_on(make, shard, site, noise):
    cache, (url, size, etag) = make(connections=1), shard(0)
    site.fault = lambda number: "503" if number > 4 else None
    with pytest.raises(OSError, match="gave up after 5 attempts"):
        cache.fetch(url, size, etag)
    site.fault = lambda number: None
    site.requests.clear()
    assert content(make().fetch(url, size, etag)) == noise(SIZE, 0)
    assert site.sent("s-0.tar") == 1 + SIZE - 2 * CHUNK


def test_a_part_from_before_the_machine_came_up_is_not_trusted(make, shard, site, noise, monkeypatch, tmp_path):
    cache, (url, size, etag) = make(connections=1), shard(0)
    site.fault = lambda number: "503" if number > 4 else None
    with pytest.raises(OSError):
        cache.fetch(url, size, etag)
    site.fault = lambda number: None
    (tmp_path / "boot").write_text("another")
    monkeypatch.setattr(shard_part, "BOOT", tmp_path / "boot")
    site.requests.clear()
    assert content(make().fetch(url, size, etag)) == noise(SIZE, 0) and site.sent("s-0.tar") == 1 + SIZE


def test_closing_ends_what_is_being_fetched(make, shard, site, patience):
    cache, each = make(connections=1, patience=dataclasses.replace(patience, pause=60.0, longest_pause=60.0)), shard(0)
    site.fault = lambda number: "503" if number > 4 else None
    failed = []

    def fetch():
        try:
            cache.fetch(*each)
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    while not site.faults["503"]:
        time.sleep(0.01)
    cache.close()
    thread.join(5)
    assert not thread.is_alive() and "closed" in str(failed[0])
    with pytest.raises(Closed):
        cache.fetch(*each)


def work(folder, limit, chunk, patience, shards, start, results):
    """A process that fetches and releases shards, and says what it read."""
    cache = ShardCache(folder, limit, patience=patience, chunk=chunk)
    for number in start:
        url, size, etag = shards[number]
        while True:
            try:
                results.put((number, hash_of(cache.fetch(url, size, etag))))
                break
            except NoRoom:
                time.sleep(0.005)
        cache.release(url)
    results.put(None)


def hash_of(path):
    return hashlib.sha1(content(path)).hexdigest()


def test_processes_share_a_small_cache(tmp_path, shard, site, noise, patience, usage):
    limit, shards = 3 * SIZE, [shard(number) for number in range(5)]
    results, context = multiprocessing.SimpleQueue(), multiprocessing.get_context("fork")
    orders = ([0, 1, 2, 3, 4] * 3, [4, 3, 2, 1, 0] * 3)
    pids = []
    for order in orders:
        process = context.Process(target=work, args=(tmp_path / "cache", limit, CHUNK, patience, shards, order, results))
        process.start()
        pids.append(process)
    read, done, most = [], 0, 0
    while done < len(orders):
        most = max(most, usage(tmp_path / "cache"))
        if not results.empty():
            result = results.get()
            done, read = done + (result is None), read + ([result] if result else [])
    for process in pids:
        process.join()
    assert len(read) == 30 and 0 < most <= limit
    assert {(number, site_hash) for number, site_hash in read} == {(n, open_url(shards[n][0]).etag.removeprefix("etag:")) for n in range(5)}


def test_what_a_killed_process_left_goes_on_or_goes_away(tmp_path, make, shard, site, noise, patience, usage):
    limit, shards = 2 * SIZE + 1000, [shard(number) for number in range(3)]
    results, context = multiprocessing.SimpleQueue(), multiprocessing.get_context("fork")

    def hold():
        cache = ShardCache(tmp_path / "cache", limit, patience=patience, chunk=CHUNK, connections=1)
        cache.fetch(*shards[0])
        results.put("held")
        cache.fetch(*shards[1])

    site.fault = lambda number: "stall" if site.requests[-1][0] == "/s-1.tar" and number > 14 else None
    process = context.Process(target=hold)
    process.start()
    assert results.get() == "held"
    cache = make(limit=limit)
    while not any(path == "/s-1.tar" and start for path, start, _ in site.requests):
        time.sleep(0.01)
    with pytest.raises(NoRoom):
        cache.fetch(*shards[2])
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    site.fault = lambda number: None
    cache.fetch(*shards[2])
    cache.fetch(*shards[0])
    assert [content(cache.path(shards[n][0])) for n in (0, 2)] == [noise(SIZE, 0), noise(SIZE, 2)]
    assert usage(tmp_path / "cache") <= limit
