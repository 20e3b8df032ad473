"""The s3 protocol against a real server (moto's), through a proxy that fails."""

import dataclasses
import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from moto.server import ThreadedMotoServer

from diptych.data import connections
from diptych.data.index import index_shards
from diptych.data.manifest import Shard
from diptych.data.prefetch import Need, Prefetcher
from diptych.data.retry import Changed, Patience
from diptych.data.shard_cache import ShardCache
from diptych.data.storage import open_url

STUBBORN = Patience(attempts=10, pause=0.01, longest_pause=0.02, stall=0.4)


class Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", 0), Relay)
        self.port, self.fault, self.requests, self.faults = port, lambda number: None, [], 0
        self.stopping, self.lock = threading.Event(), threading.Lock()

    def handle_error(self, request, client_address):
        pass  # clients that went away


class Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def do_GET(self):
        server = self.server
        with server.lock:
            server.requests.append(f"{self.command} {self.path} {self.headers.get('Range', '')}")
            fault = server.fault(len(server.requests))
            server.faults += fault is not None
        if fault == "drop":
            return self.hang_up()
        if fault == "503":
            return self.send_error(503)
        upstream = http.client.HTTPConnection("127.0.0.1", server.port)
        upstream.request(self.command, self.path, headers=dict(self.headers))
        answer = upstream.getresponse()
        body = answer.read()
        upstream.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "server", "date"):
                self.send_header(name, value)
        self.send_header("Content-Length", answer.getheader("Content-Length") if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        if fault in ("cut", "stall"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.server.stopping.wait(30 if fault == "stall" else 0)
            return self.hang_up()
        self.wfile.write(body)

    do_HEAD = do_GET

    def hang_up(self):
        self.close_connection = True
        self.wfile.flush()
        self.connection.close()

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def moto_port():
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def bucket(moto_port, monkeypatch, tmp_path):
    """bucket.put(name, content) -> url; bucket.proxy: what stands between the client and the server."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("DIPTYCH_CACHE", str(tmp_path / "index"))
    monkeypatch.setattr("diptych.data.storage.Patience", lambda: STUBBORN)
    direct = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{moto_port}")
    direct.create_bucket(Bucket="bucket")
    proxy = Proxy(moto_port)
    threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.server_port}")
    connections.filesystem.cache_clear()
    connections.store.cache_clear()

    @dataclasses.dataclass
    class Bucket:
        proxy: Proxy
        client: object

        def put(self, name, content):
            self.client.put_object(Bucket="bucket", Key=name, Body=content)
            return f"s3://bucket/{name}"

    yield Bucket(proxy, direct)
    connections.filesystem.cache_clear()
    connections.store.cache_clear()
    proxy.stopping.set()
    proxy.shutdown()
    proxy.server_close()


def faults(kinds, every=3):
    return lambda number: kinds[number // every % len(kinds)] if number % every == 0 else None


def test_an_object_is_read_exactly_and_its_etag_is_its_checksum(bucket, noise):
    content = noise(200_000)
    blob = open_url(bucket.put("set/a.tar", content))
    assert (blob.size, blob.etag.partition(":")[0], blob.checksum.partition(":")[0]) == (200_000, "etag", "md5")
    assert blob.pread(1000, 150_000) == content[1000:151_000] and blob.pread(199_999, 1) == content[-1:]
    with pytest.raises(FileNotFoundError, match=r"s3://bucket/set/none\.tar"):
        open_url("s3://bucket/set/none.tar")


@pytest.mark.parametrize("fault", ["503", "drop", "cut", "stall"])
def test_a_fault_is_tried_again_and_a_server_that_stays_down_given_up(bucket, noise, fault):
    content = noise(50_000)
    blob = open_url(bucket.put("a.tar", content), patience=dataclasses.replace(STUBBORN, attempts=4))
    done = len(bucket.proxy.requests)
    bucket.proxy.fault = lambda number: fault if number - done in (1, 2) else None
    assert blob.pread(10, 40_000) == content[10:40_010] and bucket.proxy.faults == 2
    bucket.proxy.fault = lambda number: fault
    with pytest.raises(OSError, match=r"s3://bucket/a.tar, bytes 0 .. 999: gave up after 4 attempts"):
        blob.pread(0, 1000)


def test_an_object_that_is_replaced_is_noticed_at_once(bucket, noise):
    blob = open_url(bucket.put("a.tar", noise(5000)))
    bucket.put("a.tar", noise(5000, 1))
    with pytest.raises(Changed, match=r"s3://bucket/a.tar.*is another object"):
        blob.pread(0, 100)


def test_shards_come_whole_through_faults_and_a_damaged_one_is_refused(bucket, noise, tmp_path, usage, monkeypatch):
    urls = [bucket.put(f"s-{number}.tar", noise(100_000, number)) for number in range(6)]
    bucket.proxy.fault = faults(["503", "drop", "cut"])
    limit = 250_000
    cache = ShardCache(tmp_path / "cache", limit, patience=STUBBORN, chunk=16_384)
    prefetcher = Prefetcher(cache, iter(Need(n, n, url, 100_000, None) for n, url in enumerate(urls)))
    for number, url in enumerate(urls):
        prefetcher.advance(number)
        while not (path := cache.path(url)):
            assert usage(tmp_path / "cache") <= limit
            prefetcher.advance(number)
        with open(path, "rb") as file:
            assert file.read() == noise(100_000, number)
    prefetcher.close()
    assert bucket.proxy.faults > 10
    monkeypatch.setattr("diptych.data.store_s3.s3_checksum", lambda etag, encryption: "md5:" + "0" * 32)
    with pytest.raises(Changed, match="2 downloads had another checksum than md5:000"):
        ShardCache(tmp_path / "other", limit, patience=STUBBORN).fetch(urls[0], 100_000, None)


def test_an_index_of_a_bucket_reads_the_samples_of_local_shards(bucket, tmp_path, shards):
    local = index_shards(shards(), setting="x")
    for path in tmp_path.glob("s-*.tar"):
        bucket.put(f"set/{path.name}", path.read_bytes())
    bucket.proxy.fault = faults(["503", "drop"], every=5)
    remote = index_shards(["s3://bucket/set/s-*.tar"], setting="x")
    assert remote.fingerprint == local.fingerprint and len(remote) == 40
    cache = ShardCache(tmp_path / "cache", 10**8, patience=STUBBORN)
    shard: Shard = remote.shards[1]
    cache.fetch(shard.url, shard.bytes, shard.etag)
    through = remote.through(cache)
    assert [(sample.key, sample.members) for sample in map(through.read, range(40))] == [
        (sample.key, sample.members) for sample in map(local.read, range(40))
    ]
    cache.close()
