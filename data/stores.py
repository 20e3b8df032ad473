"""Ranged reads of one object: what a kind of store must do, and how fsspec does it for all that have no file of their own."""

from __future__ import annotations

import base64
import dataclasses
import time
from typing import Any, Protocol

from .retry import Changed, Patience

RECHECK = 60.0  # seconds after which an object that cannot be pinned is looked at again


@dataclasses.dataclass(frozen=True)
class Stat:
    """What a store says of an object.

    etag: `md5:`, `sha256:` or `crc32c:` and hex digits where the store tells the checksum of the content, else `KIND:`
        and what the store calls it.
    pin: what a read is tied to, in the store's own words.
    """

    size: int
    etag: str
    pin: str


class Store(Protocol):
    """Safe to share between threads. Raises anything that retry.py knows."""

    def stat(self, path: str) -> Stat:
        """Looks at the object."""

    def read(self, path: str, start: int, end: int, stat: Stat) -> bytes:
        """The bytes start .. end - 1 of the object that `stat` describes, perhaps fewer. Raises Changed where it is another one."""


class AnyStore:
    """Every other store, as fsspec has it. Reads of gs are tied to the generation; other objects are looked at again once a minute."""

    def __init__(self, fs: Any, patience: Patience):
        self._fs, self._patience = fs, patience
        self._limits = {"timeout": patience.deadline} if getattr(fs, "async_impl", False) else {}
        self._seen: dict[str, float] = {}

    def stat(self, path: str) -> Stat:
        """See Store."""
        limits = {name: limit(0) for name, limit in self._limits.items()}
        info = self._fs.info(path, **limits)
        if info.get("type") == "directory" or info.get("size") is None:
            raise IsADirectoryError("is no file")
        self._seen[path] = time.monotonic()
        return Stat(info["size"], any_tag(info), str(info.get("generation", "")))

    def read(self, path: str, start: int, end: int, stat: Stat) -> bytes:
        """See Store."""
        limits = {name: limit(end - start) for name, limit in self._limits.items()}
        if stat.pin:
            return self._fs.cat_file(path, start=start, end=end, generation=stat.pin, **limits)
        data = self._fs.cat_file(path, start=start, end=end, **limits)
        if time.monotonic() - self._seen.get(path, 0.0) > RECHECK and (now := self.stat(path)) != stat:
            raise Changed(f"was {stat.size} bytes, {stat.etag}; is {now.size} bytes, {now.etag}")
        return data


def any_tag(info: dict[str, Any]) -> str:
    """The best name for the content among what fsspec's `info` tells."""
    if info.get("md5Hash"):
        return "md5:" + base64.b64decode(info["md5Hash"]).hex()
    if info.get("crc32c"):
        return "crc32c:" + base64.b64decode(info["crc32c"]).hex()
    sha256 = getattr(info.get("lfs"), "sha256", None)
    if sha256:
        return f"sha256:{sha256}"
    named = (info.get(name) for name in ("xet_hash", "blob_id", "ETag", "etag", "generation", "mtime", "created"))
    return f"any:{next((str(name) for name in named if name), '')}"
