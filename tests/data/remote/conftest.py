"""A real HTTP server of files in memory that serves ranges, and fails as it is told; shards of known samples to put on it."""

import collections
import dataclasses
import hashlib
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from diptych.data.retry import Patience


@dataclasses.dataclass
class Site:
    """files: path -> content. fault(number of the request) -> None or what goes wrong with it.

    `503`, `drop` (no answer), `cut` and `stall` (half of one), `trickle` (a byte each 0.1 s).
    """

    url: str
    files: dict = dataclasses.field(default_factory=dict)
    fault: object = staticmethod(lambda number: None)
    etags: bool = True
    ranges: bool = True
    missing: int = 404  # the status of what is not there; 200: a page
    pace: float = 0.0  # seconds that each request takes
    waiting: int = 0
    most: int = 0  # requests that waited at a time
    requests: list = dataclasses.field(default_factory=list)
    faults: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def put(self, name, content):
        self.files[f"/{name}"] = content
        return f"{self.url}/{name}"

    def sent(self, name):
        """Bytes that were asked for, of one file."""
        return sum(end - start for path, start, end in self.requests if path == f"/{name}")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def do_GET(self):
        site = self.server.site
        content = site.files.get(self.path)
        if content is None:
            return self.answer(200, b"<html>", "", b"") if site.missing == 200 else self.send_error(site.missing)
        first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups()
        start, end = int(first), min(int(last) + 1, len(content))
        with site.lock:
            site.requests.append((self.path, start, end))
            fault = site.fault(len(site.requests))
            site.faults[fault] += 1
            site.waiting += 1
            site.most = max(site.most, site.waiting)
        time.sleep(site.pace)
        with site.lock:
            site.waiting -= 1
        if fault == "drop":
            return self.hang_up()
        if fault == "503":
            return self.send_error(503)
        if start >= len(content):
            return self.answer(416, b"", f"bytes */{len(content)}", content)
        if not site.ranges:
            return self.answer(200, content, "", content)
        self.answer(206, content[start:end], f"bytes {start}-{end - 1}/{len(content)}", content, fault=fault)

    def answer(self, status, body, content_range, content, fault=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if content_range:
            self.send_header("Content-Range", content_range)
        if self.server.site.etags:
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.end_headers()
        if fault in ("cut", "stall"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.server.stopping.wait(30 if fault == "stall" else 0)
            return self.hang_up()
        if fault == "trickle":
            for place in range(len(body)):
                self.wfile.write(body[place : place + 1])
                self.wfile.flush()
                self.server.stopping.wait(0.1)
            return
        self.wfile.write(body)

    def hang_up(self):
        self.close_connection = True
        self.wfile.flush()
        self.connection.close()

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients that went away


@pytest.fixture
def site():
    server = Server(("127.0.0.1", 0), Handler)
    server.stopping = threading.Event()
    server.site = Site(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server.site
    server.stopping.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def patience():
    """Gives up soon: 5 attempts, 0.4 s without a byte."""
    return Patience(attempts=5, pause=0.01, longest_pause=0.05, stall=0.4)


@pytest.fixture(scope="session")
def noise():
    """noise(size, seed=0): bytes."""
    return lambda size, seed=0: np.random.default_rng(seed).bytes(size)


@pytest.fixture(scope="session")
def usage():
    """usage(folder): bytes of all files below it, each once however many names it has."""

    def total(folder):
        seen = {}
        for path in folder.rglob("*"):
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            seen[status.st_ino] = status.st_size if path.is_file() else 0
        return sum(seen.values())

    return total
