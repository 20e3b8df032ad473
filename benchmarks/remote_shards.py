"""What the shard cache delivers from an HTTP server of this machine, against one plain download of the same shards after another.

    python benchmarks/remote_shards.py [--shards 12] [--mb 64] [--delay-ms 0] [--stream-mb 0] [--json]

The server is a process of its own with `sendfile`. As the way to an object store does, `--delay-ms` holds back each answer, and
`--stream-mb` limits the MB/s of each connection (0: unlimited). Each round does, in turn: `plain` (urllib, one shard after another, to
disk), `cache` (Prefetcher and ShardCache, evicting behind the reader; a third of the shards fit), and `samples` (the same, and each sample
is read through the Index as a run would). Ratios are of medians.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import re
import statistics
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from diptych.data.index import Index
from diptych.data.index_manifest import index_manifest
from diptych.data.prefetch import Need, Prefetcher
from diptych.data.shard_cache import ShardCache

IMAGE = 35_000  # bytes of a sample's image: a 256-pixel JPEG


class Server(ThreadingHTTPServer):
    """Says nothing of clients that go away."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: D102
        pass


class Files(BaseHTTPRequestHandler):
    """Files of a folder, whole or in ranges."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    folder, delay, stream = Path("."), 0.0, 0.0

    def do_GET(self) -> None:  # noqa: D102
        time.sleep(self.delay)
        if not (self.folder / Path(self.path).name).exists():
            return self.send_error(404)
        with open(self.folder / Path(self.path).name, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            start, end = (int(asked[1]), min(int(asked[2]) + 1, size)) if asked else (0, size)
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(end - start))
            self.send_header("ETag", f'"{size}"')
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
            self.end_headers()
            self.wfile.flush()
            begun, first, piece = time.perf_counter(), start, 1 << 18 if self.stream else end - start
            while start < end:
                start += os.sendfile(self.connection.fileno(), file.fileno(), start, min(end - start, piece))
                if self.stream:
                    time.sleep(max(0.0, begun + (start - first) / self.stream - time.perf_counter()))

    def log_message(self, *args: object) -> None:  # noqa: D102
        pass


def serve(folder: Path, delay: float, stream: float, port: multiprocessing.Queue[int]) -> None:
    Files.folder, Files.delay, Files.stream = folder, delay, stream
    server = Server(("127.0.0.1", 0), Files)
    port.put(server.server_port)
    server.serve_forever()


def write_shards(folder: Path, *, shards: int, size: int) -> int:
    """Writes shards of about `size` bytes; the samples in each."""
    samples, image = size // (IMAGE + 2000), np.random.default_rng(0).bytes(IMAGE)
    for shard in range(shards):
        with tarfile.open(folder / f"s-{shard:03d}.tar", "w") as tar:
            for number in range(samples):
                for suffix, content in (("jpg", image), ("txt", f"sample {number} of shard {shard}".encode())):
                    member = tarfile.TarInfo(f"{shard:03d}{number:06d}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return samples


def plain(index: Index, folder: Path) -> float:
    start = time.perf_counter()
    for shard in index.shards:
        with urllib.request.urlopen(shard.url) as answer, open(folder / "plain.tar", "wb") as file:
            while data := answer.read(1 << 20):
                file.write(data)
    return time.perf_counter() - start


def through_cache(index: Index, folder: Path, *, read: bool) -> float:
    """Seconds until the reader, who waits for each shard, is through with all of them; a third of them fit."""
    limit = sum(shard.bytes for shard in index.shards) // 3
    start = time.perf_counter()
    cache = ShardCache(folder, limit)
    prefetcher = Prefetcher(cache, needs(index))
    here, first = index.through(cache), 0
    for shard in index.shards:
        prefetcher.advance(first)
        while cache.path(shard.url) is None:
            time.sleep(0.001)
            prefetcher.advance(first)
        if read:
            for sample in range(first, first + shard.samples):
                here.read(sample)
        first += shard.samples
    prefetcher.advance(first)
    seconds = time.perf_counter() - start
    prefetcher.close()
    return seconds


def needs(index: Index) -> Iterator[Need]:
    first = 0
    for shard in index.shards:
        yield Need(first, first + shard.samples - 1, shard.url, shard.bytes, shard.etag)
        first += shard.samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=12)
    parser.add_argument("--mb", type=int, default=64, help="of a shard")
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--stream-mb", type=float, default=0.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "site").mkdir()
        samples = args.shards * write_shards(folder / "site", shards=args.shards, size=args.mb * 10**6)
        port: multiprocessing.Queue[int] = multiprocessing.Queue()
        server = multiprocessing.Process(target=serve, args=(folder / "site", args.delay_ms / 1e3, args.stream_mb * 1e6, port), daemon=True)
        server.start()
        os.environ["DIPTYCH_CACHE"] = str(folder / "index")
        url = f"http://127.0.0.1:{port.get()}/s-{{{0:03d}..{args.shards - 1:03d}}}.tar"
        index = Index(index_manifest([url], setting="--shards"))
        times: dict[str, list[float]] = {"plain": [], "cache": [], "samples": []}
        for round_ in range(args.rounds):
            times["plain"].append(plain(index, folder))
            times["cache"].append(through_cache(index, folder / f"cache-{round_}", read=False))
            times["samples"].append(through_cache(index, folder / f"read-{round_}", read=True))
        server.terminate()
    megabytes = sum(shard.bytes for shard in index.shards) / 1e6
    seconds = {name: statistics.median(each) for name, each in times.items()}
    result = {
        "shards": args.shards,
        "megabytes": round(megabytes),
        "delay_ms": args.delay_ms,
        "stream_mb_per_second": args.stream_mb,
        "plain_mb_per_second": round(megabytes / seconds["plain"]),
        "cache_mb_per_second": round(megabytes / seconds["cache"]),
        "samples_per_second": round(samples / seconds["samples"]),
        "ratio": round(seconds["plain"] / seconds["cache"], 2),
        "ratio_with_samples": round(seconds["plain"] / seconds["samples"], 2),
    }
    if args.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{name:22} {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
