"""A manifest that lies far away: copied once, since the starts of samples have to be mapped."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO

from .manifest import ManifestError, base_name
from .manifest_file import starts_name, written_in
from .storage import open_url

CHUNK = 64 << 20  # bytes of a request: 4 GB of starts at a billion samples must not lie in memory


def copy_manifest(url: str, folder: Path) -> Path:
    """Copies the manifest at `url` and, where they are not there, its starts into `folder`; returns the copy of the former.

    What is there of an earlier version goes away: readers have it mapped. Raises OSError, and ManifestError where it is none, or where its
    starts are not what they are called after (as while a new version is being uploaded).
    """
    folder.mkdir(parents=True, exist_ok=True)
    with written_in(folder) as manifest:
        _copy(url, manifest)
    try:
        name = starts_name(Path(manifest.name))
        if name is None:
            raise ManifestError("is not a manifest of shards")
        if not (folder / name).exists():
            with written_in(folder) as starts:
                _copy(f"{url.rpartition('/')[0]}/{name}", starts)
            _place(Path(starts.name), folder / name)
        os.replace(manifest.name, folder / base_name(url))
        for old in folder.glob("*.u32"):
            if old.name != name:
                old.unlink(missing_ok=True)
    finally:
        Path(manifest.name).unlink(missing_ok=True)
    return folder / base_name(url)


def _place(copy: Path, to: Path) -> None:
    """Gives the starts their name, which ends in what their SHA-256 begins with."""
    with open(copy, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(to.stem.rpartition(".")[2]):
        copy.unlink()
        raise ManifestError(f"lacks its starts of samples: {to.name!r} beside it is damaged, or of another version")
    os.replace(copy, to)


def _copy(url: str, out: IO[bytes]) -> None:
    blob = open_url(url)
    try:
        for offset in range(0, blob.size, CHUNK):
            out.write(blob.pread(offset, min(CHUNK, blob.size - offset)))
    finally:
        blob.close()
