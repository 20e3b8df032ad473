"""Ranged reads over http and https, through fsspec's session; each answer says itself whether it is the object that was opened."""

from __future__ import annotations

import base64
from typing import Any

import aiohttp
from fsspec.asyn import sync

from .retry import Changed, Patience, Refused
from .store_s3 import s3_tag
from .stores import Stat


class HttpStore:
    """http, https. The server must answer range requests."""

    def __init__(self, fs: Any, patience: Patience):
        self._fs, self._patience = fs, patience

    def stat(self, path: str) -> Stat:
        """See Store."""
        return sync(self._fs.loop, self._stat, path, timeout=self._patience.deadline(0))

    def read(self, path: str, start: int, end: int, stat: Stat) -> bytes:
        """See Store."""
        return sync(self._fs.loop, self._read, path, start, end, stat, timeout=self._patience.deadline(end - start))

    async def _get(self, path: str, start: int, end: int) -> Any:
        session = await self._fs.set_session()
        headers = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
        return session.get(self._fs.encode_url(path), headers=headers)

    async def _stat(self, path: str) -> Stat:
        async with await self._get(path, 0, 1) as answer:
            if answer.status == 416:  # an empty object has no first byte
                return Stat(0, *_http_tag(answer.headers))
            _check(answer)
            return Stat(_total(answer), *_http_tag(answer.headers))

    async def _read(self, path: str, start: int, end: int, stat: Stat) -> bytes:
        async with await self._get(path, start, end) as answer:
            if answer.status == 416:
                raise Changed(f"has no byte {start} any more")
            _check(answer)
            _, pin = _http_tag(answer.headers)
            if _total(answer) != stat.size or pin != stat.pin:
                raise Changed(f"was {stat.size} bytes, {stat.pin or 'no etag'}; is {_total(answer)} bytes, {pin or 'no etag'}")
            if not answer.headers["Content-Range"].startswith(f"bytes {start}-"):
                raise OSError(f"asked for byte {start}, got {answer.headers['Content-Range']}")
            return await answer.read()


def _check(answer: aiohttp.ClientResponse) -> None:
    if answer.status in (404, 410):
        raise FileNotFoundError(f"status {answer.status}")
    if answer.status in (401, 403):
        raise PermissionError(f"status {answer.status}")
    answer.raise_for_status()
    if answer.status != 206 or "Content-Range" not in answer.headers:
        raise Refused(f"the server answers a range request with status {answer.status}: it does not serve ranges")


def _total(answer: aiohttp.ClientResponse) -> int:
    total = answer.headers["Content-Range"].rpartition("/")[2]
    if not total.isdigit():
        raise Refused(f"the server does not tell the size: Content-Range {answer.headers['Content-Range']!r}")
    return int(total)


def _http_tag(headers: Any) -> tuple[str, str]:
    """etag and pin of a response."""
    pin = headers.get("ETag", "").removeprefix("W/").strip('"') or headers.get("Last-Modified", "")
    sums = dict(part.strip().partition("=")[::2] for value in headers.getall("x-goog-hash", ()) for part in value.split(","))
    if "md5" in sums:
        return "md5:" + base64.b64decode(sums["md5"]).hex(), pin
    if "x-amz-request-id" in headers:
        return s3_tag(pin, headers.get("x-amz-server-side-encryption", "")), pin
    return f"http:{pin}", pin
