"""A manifest on disk: a JSON file that lists shards, and beside it a file with the starts of their samples, to be mapped."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from .manifest import STARTS, Manifest, ManifestError, Shard, Starts, fingerprint

FORMAT, VERSION = "diptych-index", 1


def write_manifest(file: Path, shards: Sequence[Shard], starts: Callable[[Shard], np.ndarray]) -> Manifest:
    """Writes `file` and its starts, so that at any time `file` is missing, as it was, or whole. starts: of a shard, uint32[samples + 1].

    Shards below the manifest's folder are written relative to it, so that the folder may move. Raises OSError.
    """
    before = starts_name(file)
    digest = hashlib.sha256()
    with written_in(file.parent) as written:
        for shard in shards:
            block = np.ascontiguousarray(starts(shard), STARTS).tobytes()
            digest.update(block)
            written.write(block)
        name = f"{file.stem}.{digest.hexdigest()[:12]}.u32"
    os.replace(written.name, file.parent / name)
    rows = ",\n".join(json.dumps(_row(shard, folder=file.parent)) for shard in shards)
    head = {
        "format": FORMAT,
        "version": VERSION,
        "fingerprint": fingerprint(shards),
        "samples": sum(shard.samples for shard in shards),
        "starts": name,
    }
    with written_in(file.parent) as written:
        written.write(f'{json.dumps(head)[:-1]},\n"shards": [\n{rows}\n]}}\n'.encode())
    os.replace(written.name, file)
    if before not in (None, name):
        (file.parent / str(before)).unlink(missing_ok=True)
    return read_manifest(file)


def is_manifest(file: Path) -> bool:
    """Whether the file is a manifest, whole or not. Raises OSError."""
    try:
        return bool(_head(file))
    except ManifestError:
        return False


def read_manifest(file: Path, *, folder: str | None = None) -> Manifest:
    """The manifest in `file`; no shard is looked at. Raises OSError, and ManifestError where it is not one, or not whole.

    folder: path or URL that relative names of shards start from, where it is not that of `file`.
    """
    head = _head(file)
    try:
        shards = _shards(head["shards"], folder=folder or os.path.abspath(file.parent))
        name = head["starts"]
        if fingerprint(shards) != head["fingerprint"] or os.path.basename(name) != name:
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ManifestError("is damaged: what it lists is not what its fingerprint says") from error
    starts = Starts.mapped(str(file.parent / name), length=sum(shard.samples + 1 for shard in shards))
    return Manifest(shards, starts, head["fingerprint"])


def _head(file: Path) -> dict[str, Any]:
    try:
        head = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ManifestError("is not JSON") from error
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise ManifestError("is not a manifest of shards")
    if head.get("version") != VERSION:
        raise ManifestError(f"has version {head.get('version')} of the format, where {VERSION} is read")
    return head


def starts_name(file: Path) -> str | None:
    """The name of the starts of the manifest in `file`; None where it is none."""
    try:
        name = _head(file).get("starts")
    except (OSError, ManifestError):
        return None
    return name if isinstance(name, str) and os.path.basename(name) == name and name.endswith(".u32") else None


def _row(shard: Shard, *, folder: Path) -> dict[str, Any]:
    inside = os.path.join(os.path.abspath(folder), "")
    url = shard.url.removeprefix(inside) if shard.url.startswith(inside) else shard.url
    return dataclasses.asdict(shard) | {"url": url}


def _shards(rows: list[dict[str, Any]], *, folder: str) -> tuple[Shard, ...]:
    inside, suffixes = os.path.join(folder, ""), dict[tuple[str, ...], tuple[str, ...]]()
    shards = []
    for row in rows:
        if not ("://" in row["url"] or row["url"].startswith("/")):
            row["url"] = inside + row["url"]
            row["etag"] = None if "://" in inside else row["etag"]  # the time of the file that was uploaded to there
        extensions = tuple(row["extensions"])
        row["extensions"] = suffixes.setdefault(extensions, extensions)
        shards.append(Shard(**row))
    if any(shard.samples < 0 for shard in shards):
        raise ValueError
    return tuple(shards)


@contextlib.contextmanager
def written_in(folder: Path) -> Iterator[IO[bytes]]:
    """A new file in `folder`, to be renamed once it is on disk; it is gone where writing fails."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".diptych-", delete=False) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            os.unlink(file.name)
            raise
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(file.name, 0o666 & ~mask)  # a temporary file is its owner's alone
