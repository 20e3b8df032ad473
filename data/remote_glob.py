"""Globs in URLs: one listing tells names, sizes and versions, where asking for each shard would be a request each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..errors import UserError
from .connections import filesystem
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
        found = list_remote("glob", url)
    except UserError as error:
        raise UserError(f"{setting} = {url!r} cannot be listed: {error}") from error
    return sorted(found, key=lambda row: row.url)


def list_remote(how: str, url: str) -> list[Listed]:
    """The files that fsspec's `glob` of a pattern, or `ls` of a folder, tells. Raises UserError (unknown kind of URL), OSError."""
    files = filesystem(url.partition("://")[0], Patience(), os.getpid())
    found: Any = retry(lambda: getattr(files, how)(url, detail=True), what=f"listing of {url}", patience=Patience())
    rows: Iterable[dict[str, Any]] = found.values() if isinstance(found, dict) else found
    return [Listed(files.unstrip_protocol(row["name"]), row["size"], any_tag(row)) for row in rows if row["type"] == "file"]
