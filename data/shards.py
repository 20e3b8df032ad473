"""Shard patterns -> the files they name."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence

import braceexpand

from ..errors import UserError

ACCEPTED = "accepted are paths of uncompressed WebDataset tars, with globs and braces, relative to the current folder"


def expand(patterns: Sequence[str], *, setting: str) -> list[str]:
    """The files of `patterns` in order: braces as they are written, globs sorted by path; a file named twice counts once.

    setting: the path in the recipe, for messages. Raises UserError where a pattern matches no file, or a file cannot be a tar.
    """
    if not patterns:
        raise UserError(f"{setting} is empty; {ACCEPTED}")
    found: dict[str, None] = {}
    for pattern in patterns:
        for path in _braces(pattern, setting):
            found |= dict.fromkeys(_glob(path, pattern, setting))
    return list(found)


def _braces(pattern: str, setting: str) -> list[str]:
    try:
        return list(braceexpand.braceexpand(pattern))
    except ValueError as error:
        raise UserError(f"{setting} = {pattern!r} has unbalanced braces; {ACCEPTED}") from error


def _glob(path: str, pattern: str, setting: str) -> list[str]:
    files = [path] if os.path.exists(path) else sorted(glob.glob(path, recursive=True))
    if not files:
        which = f"no file {path!r}" if path != pattern else "no file"
        raise UserError(f"{setting} = {pattern!r} matches {which}; {ACCEPTED}")
    for file in files:
        if os.path.isdir(file):
            raise UserError(f"{setting} = {pattern!r} matches the folder {file!r}; {ACCEPTED}")
        if file.endswith((".gz", ".tgz", ".bz2", ".xz", ".zst")):
            raise UserError(f"{setting} = {pattern!r} matches {file!r}, which is compressed; {ACCEPTED} (unpack it to a .tar first)")
    return files
