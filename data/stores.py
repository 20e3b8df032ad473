"""Ranged reads of one object: what a kind of store must do, and how fsspec does it for all that have no file of their own."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import inspect
import time
from typing import Any, Protocol

from .retry import Changed, Patience

RECHECK = 60.0  # seconds after which an object that cannot be pinned is looked at again


@dataclasses.dataclass(frozen=True)
class Stat:
    """What a store says of an object.

    etag: `KIND:` and what names this version of the object, in a listing too. checksum: of the content, `md5:`, `sha256:` or `crc32c:` and
    hex digits, where the store tells one, else empty. pin: what a read is tied to, in the store's own words.
    """

    size: int
    etag: str
    checksum: str
    pin: str


class Store(Protocol):
    """Safe to share between threads. Raises anything that retry.py knows."""

    def stat(self, path: str) -> Stat:
        """Looks at the object."""

    def read(self, path: str, start: int, end: int, stat: Stat) -> bytes:
        """The bytes start .. end - 1 of the object that `stat` describes, perhaps fewer. Raises Changed where it is another one."""


class AnyStore:
    """Every other store, as fsspec has it.

    Reads of gs are tied to the generation, where gcsfs can (from 2026.7 on); other objects are looked at again once a minute.
    """

    def __init__(self, fs: Any, patience: Patience):
        self._fs, self._patience = fs, patience
        self._limits = {"timeout": patience.deadline} if getattr(fs, "async_impl", False) else {}
        self._pins = "generation" in inspect.signature(getattr(fs, "url", lambda path: path)).parameters
        self._seen: dict[str, float] = {}

    def stat(self, path: str) -> Stat:
        """See Store."""
        limits = {name: limit(0) for name, limit in self._limits.items()}
        info = self._fs.info(path, **limits)
        if info.get("type") == "directory" or info.get("size") is None:
            raise IsADirectoryError("is no file")
        self._seen[path] = time.monotonic()
        return Stat(info["size"], any_tag(info), any_checksum(info), str(info.get("generation", "")) if self._pins else "")

    def read(self, path: str, start: int, end: int, stat: Stat) -> bytes:
        """See Store."""
        limits = {name: limit(end - start) for name, limit in self._limits.items()}
        if stat.pin:
            try:
                return self._fs.cat_file(path, start=start, end=end, generation=stat.pin, **limits)
            except FileNotFoundError as error:
                raise Changed(f"was {stat.size} bytes, generation {stat.pin}, which is not there any more") from error
        data = self._fs.cat_file(path, start=start, end=end, **limits)
        if time.monotonic() - self._seen.get(path, 0.0) > RECHECK and (now := self.stat(path)) != stat:
            raise Changed(f"was {stat.size} bytes, {stat.etag}; is {now.size} bytes, {now.etag}")
        return data


def any_tag(info: dict[str, Any]) -> str:
    """The etag of an object among what fsspec's `info`, or a row of its listings, tells."""
    if checksum := any_checksum(info):
        return checksum
    if info.get("ETag"):
        return plain_etag(info["ETag"])
    named = ((name, info.get(name)) for name in ("xet_hash", "blob_id", "etag", "generation", "mtime", "created"))
    return next((f"{name}:{_plain(value)}" for name, value in named if value), "")


def _plain(value: Any) -> Any:
    """The same for a listing and a look at one object: some stores tell times as numbers in one of them alone."""
    return value.timestamp() if isinstance(value, datetime.datetime) else value


def any_checksum(info: dict[str, Any]) -> str:
    """The checksum of an object among what fsspec's `info`, or a row of its listings, tells."""
    for name, key in (("md5", "md5Hash"), ("crc32c", "crc32c")):
        if info.get(key):
            return f"{name}:{base64.b64decode(info[key]).hex()}"
    sha256 = getattr(info.get("lfs"), "sha256", None)
    return f"sha256:{sha256}" if sha256 else ""


def plain_etag(etag: str) -> str:
    """An HTTP or S3 entity tag, weak or strong, as an etag of Stat."""
    return "etag:" + etag.removeprefix("W/").strip('"')
