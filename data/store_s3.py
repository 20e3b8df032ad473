"""Ranged reads by the s3 protocol, each on the condition that the object is still the one that was opened."""

from __future__ import annotations

import re
from typing import Any

from fsspec.asyn import sync

from .retry import Changed, Patience, status_of
from .stores import Stat, plain_etag


class S3Store:
    """s3, and whatever speaks its protocol."""

    def __init__(self, fs: Any, patience: Patience):
        fs.retries = 1  # retry.py does it
        self._fs, self._patience = fs, patience

    def stat(self, path: str) -> Stat:
        """See Store."""
        bucket, key, _ = self._fs.split_path(path)
        head = self._fs.call_s3("head_object", Bucket=bucket, Key=key, timeout=self._patience.deadline(0))
        pin = head["ETag"]
        encryption = "own key" if "SSECustomerAlgorithm" in head else head.get("ServerSideEncryption", "")
        return Stat(head["ContentLength"], plain_etag(pin), s3_checksum(pin.strip('"'), encryption), pin)

    def read(self, path: str, start: int, end: int, stat: Stat) -> bytes:
        """See Store."""
        return sync(self._fs.loop, self._read, path, start, end, stat, timeout=self._patience.deadline(end - start))

    async def _read(self, path: str, start: int, end: int, stat: Stat) -> bytes:
        bucket, key, _ = self._fs.split_path(path)
        try:
            answer = await self._fs._call_s3("get_object", Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}", IfMatch=stat.pin)
        except OSError as error:
            if status_of(error) in (412, 416):
                raise Changed(f"was {stat.size} bytes, etag {stat.pin}; is another object") from error
            raise
        async with answer["Body"] as body:
            return await body.read()


def s3_checksum(etag: str, encryption: str) -> str:
    """An S3 etag is the content's MD5 unless it was uploaded in parts (it has a dash then) or encrypted with a key of its own."""
    plain = re.fullmatch("[0-9a-f]{32}", etag) and encryption in ("", "AES256")
    return f"md5:{etag}" if plain else ""
