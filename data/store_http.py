"""Ranged reads over http and https, through fsspec's session; each answer says itself whether it is the object that was opened."""

from __future__ import annotations

import base64
from typing import Any

import aiohttp
from fsspec.asyn import sync

from .retry import Changed, Patience, Refused
from .store_s3 import s3_checksum
from .stores import Stat, plain_etag


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
                return Stat(0, _tag(answer), "", "")
            _check(answer)
            return Stat(_total(answer), _tag(answer), _checksum(answer), "")

    async def _read(self, path: str, start: int, end: int, stat: Stat) -> bytes:
        async with await self._get(path, start, end) as answer:
            if answer.status == 416:
                raise Changed(f"has no byte {start} any more")
            _check(answer)
            size, etag = _total(answer), _tag(answer)
            if (size, etag) != (stat.size, stat.etag):
                raise Changed(f"was {stat.size} bytes, {stat.etag or 'no etag'}; is {size} bytes, {etag or 'no etag'}")
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


def _tag(answer: aiohttp.ClientResponse) -> str:
    etag, modified = answer.headers.get("ETag"), answer.headers.get("Last-Modified")
    return plain_etag(etag) if etag else f"modified:{modified}" if modified else ""


def _checksum(answer: aiohttp.ClientResponse) -> str:
    """What Google's and Amazon's stores tell, public files of theirs among them; an etag of others need not be an MD5."""
    headers = answer.headers
    sums = dict(part.strip().partition("=")[::2] for value in headers.getall("x-goog-hash", ()) for part in value.split(","))
    for name in ("md5", "crc32c"):
        if name in sums:
            return f"{name}:{base64.b64decode(sums[name]).hex()}"
    if "x-amz-request-id" in headers:
        encryption = "own key" if "x-amz-server-side-encryption-customer-algorithm" in headers else ""
        return s3_checksum(headers.get("ETag", "").strip('"'), encryption or headers.get("x-amz-server-side-encryption", ""))
    return ""
