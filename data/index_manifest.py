"""From patterns in a recipe to the index of their shards; what was indexed before is not read again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from .beside import Beside
from .copy_manifest import copy_manifest
from .indexing import Indexing
from .manifest import Manifest, ManifestError, Shard
from .manifest_file import read_manifest
from .merges import cache_folder
from .shards import ACCEPTED, find
from .storage import is_local

LOG = logging.getLogger("diptych.data")
SAY_EVERY = 10.0  # seconds


def index_manifest(patterns: Sequence[str], *, setting: str) -> Manifest:
    """The manifest of all shards that `patterns` name: a manifest's own name, or shards, which are indexed where they are new or changed.

    setting: the path in the recipe, for messages. Raises UserError (nothing matches, a file is not a whole tar, no samples), OSError.
    """
    if names_manifest(patterns):
        return open_manifest(patterns, setting=setting)
    found = find(patterns, setting=setting)
    out, progress = cached_manifest(patterns), _Said(setting)
    indexing = Indexing(out=_writable(out), setting=setting, beside=Beside(), begin=progress.begin, done=progress.done)
    manifest = indexing.run(found, known=newest_manifest(out))
    progress.end(manifest, out=indexing.out)
    if not manifest.samples:
        raise UserError(f"{setting} = {list(patterns)} holds no samples; {ACCEPTED}")
    return manifest


def names_manifest(patterns: Sequence[str]) -> bool:
    """Whether a manifest is named, which is taken as it is: no shard is looked at."""
    return any(pattern.endswith(".json") for pattern in patterns)


def open_manifest(patterns: Sequence[str], *, setting: str) -> Manifest:
    """A manifest that a recipe names. Raises UserError."""
    accepted = "accepted is one manifest alone, as `diptych data index PATTERN --out FILE.json` writes it"
    if len(patterns) > 1:
        raise UserError(f"{setting} = {list(patterns)} names a manifest among others; {accepted}, or several in data.mixture")
    try:
        manifest = _read(patterns[0])
    except OSError as error:
        raise UserError(f"{setting} = {patterns[0]!r} cannot be read ({error.strerror or error}); {accepted}") from error
    except ManifestError as error:
        raise UserError(f"{setting} = {patterns[0]!r} {error}; {accepted}") from error
    if not manifest.samples:
        raise UserError(f"{setting} = {patterns[0]!r} lists no samples; {accepted}")
    return manifest


def _read(name: str) -> Manifest:
    if is_local(name):
        return read_manifest(Path(name.removeprefix("file://")))
    folder = cache_folder() / "index" / hashlib.sha256(name.encode()).hexdigest()[:32]
    return read_manifest(copy_manifest(name, folder), folder=name.rpartition("/")[0])


def cached_manifest(patterns: Sequence[str]) -> Path:
    """The file that keeps the manifest of `patterns` for this user: `index/` in the cache folder."""
    places = [pattern if "://" in pattern else os.path.join(os.getcwd(), pattern) for pattern in patterns]
    return cache_folder() / "index" / f"{hashlib.sha256(json.dumps(places).encode()).hexdigest()[:32]}.json"


def _writable(out: Path) -> Path | None:
    """`out`, where its folder can be written."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return out if os.access(out.parent, os.W_OK | os.X_OK) else None


def newest_manifest(out: Path) -> Manifest | None:
    """The manifest in `out` if there is a whole one: its shards are not read again unless they have changed."""
    try:
        return read_manifest(out)
    except (OSError, ManifestError):
        return None


class _Said:
    """Says what is indexed, at the start, every 10 seconds, and at the end; nothing where there is nothing to do."""

    def __init__(self, setting: str):
        self._setting = setting
        self._todo = self._read = self._samples = 0

    def begin(self, todo: int, total: int) -> None:
        self._todo, self._start = todo, time.monotonic()
        self._next = self._start + SAY_EVERY
        known = f", {total - todo} are known" if total > todo else ""
        LOG.info("%s: reading the headers of %d shards%s", self._setting, todo, known)

    def done(self, shard: Shard) -> None:
        self._read, self._samples = self._read + 1, self._samples + shard.samples
        if time.monotonic() > self._next:
            self._next = time.monotonic() + SAY_EVERY
            LOG.info("%s: %d of %d shards, %d samples", self._setting, self._read, self._todo, self._samples)

    def end(self, manifest: Manifest, *, out: Path | None) -> None:
        if self._todo:
            kept = f"kept in {out}" if out else "not kept, the cache folder cannot be written"
            seconds = time.monotonic() - self._start
            LOG.info("%s: %d samples in %d shards, in %.1f s (%s)", self._setting, manifest.samples, len(manifest.shards), seconds, kept)
