"""Globs in URLs: one listing tells names, sizes and versions, where asking for each shard would be a request each."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import fsspec

from ..errors import UserError
from .retry import Patience, retry
from .stores import any_tag

GLOB = re.compile(r"[*?\[]")


class Listed(NamedTuple):
    """A file in a listing: its URL, size and version, as far as the listing says them."""

    url: str
    bytes: int | None = None
    etag: str | None = None


def glob_remote(url: str, *, setting: str, accepted: str) -> list[Listed]:
    """The files that a URL names, sorted; a URL without a glob names itself, looked at or not. Raises UserError, OSError."""
    scheme = url.partition("://")[0]
    if scheme in ("http", "https"):
        if GLOB.search(url.partition("?")[0]):
            raise UserError(f"{setting} = {url!r} is a glob, but {scheme}:// has no listings; {accepted}")
        return [Listed(url)]
    if not GLOB.search(url):
        return [Listed(url)]
    try:
        files, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise UserError(f"{setting} = {url!r} cannot be listed ({error}); {accepted}") from error
    found: dict[str, dict[str, Any]] = retry(lambda: files.glob(path, detail=True), what=f"listing of {url}", patience=Patience())
    rows = [Listed(files.unstrip_protocol(name), info["size"], any_tag(info)) for name, info in found.items() if info["type"] == "file"]
    return sorted(rows, key=lambda row: row.url)
