"""Shard patterns -> the files they name."""

from __future__ import annotations

import dataclasses
import glob
import os
from collections.abc import Iterator, Sequence

import braceexpand

from ..errors import UserError
from .remote_glob import glob_remote
from .storage import is_local

ACCEPTED = (
    "accepted are paths and URLs (gs://, s3://, hf://, https://) of uncompressed WebDataset tars, with braces and globs (no globs in "
    "https://), relative to the current folder, or @FILE with a pattern a line"
)
COMPRESSED = (".gz", ".tgz", ".bz2", ".xz", ".zst")


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A file that a pattern names. url: path or URL. bytes, etag: its size and version, where a listing said so."""

    url: str
    bytes: int | None = None
    etag: str | None = None

    @property
    def place(self) -> str:
        """The URL, or the absolute path."""
        return os.path.abspath(self.url) if is_local(self.url) else self.url


def expand(patterns: Sequence[str], *, setting: str) -> list[str]:
    """The files of `patterns` in order: braces as they are written, globs sorted by path; a file named twice, however, counts once.

    setting: the path in the recipe, for messages. Raises UserError where a pattern matches no file, or a file cannot be a tar.
    """
    return [found.url for found in find(patterns, setting=setting)]


def find(patterns: Sequence[str], *, setting: str) -> list[Found]:
    """As `expand`, with what listings said about the files. Whether a URL without a glob exists is not looked at."""
    if not patterns:
        raise UserError(f"{setting} is empty; {ACCEPTED}")
    found: dict[str, Found] = {}
    for pattern in patterns:
        for line in _listed(pattern, setting):
            for path in _braces(line, setting):
                found |= {file.place: file for file in _glob(path.removeprefix("file://"), line, setting)}
    return list(found.values())


def first_missing(patterns: Sequence[str]) -> str | None:
    """The first pattern of this machine whose first file is not there, by one look at each; None: there is none.

    What else may be wrong with patterns is left to `find`, and so is what a list (`@FILE`) holds.
    """
    for pattern in patterns:
        try:
            path = next(iter(braceexpand.braceexpand(pattern.removeprefix("@")))).removeprefix("file://")
        except ValueError:  # unbalanced braces
            continue
        if is_local(path) and not os.path.lexists(path) and next(glob.iglob(path, recursive=True), None) is None:
            return pattern
    return None


def _listed(pattern: str, setting: str) -> Iterator[str]:
    """The pattern itself, or the lines of the file behind its @; empty lines and those that begin with # say nothing."""
    if not pattern.startswith("@"):
        yield pattern
        return
    try:
        with open(pattern[1:], encoding="utf-8") as file:
            lines = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{setting} = {pattern!r} names a list that cannot be read ({error}); {ACCEPTED}") from error
    patterns = [line for line in lines if line and not line.startswith("#")]
    if not patterns or any(line.startswith("@") for line in patterns):
        raise UserError(f"{setting} = {pattern!r} names a list {'of lists' if patterns else 'without patterns'}; {ACCEPTED}")
    yield from patterns


def _braces(pattern: str, setting: str) -> list[str]:
    try:
        return list(braceexpand.braceexpand(pattern))
    except ValueError as error:
        raise UserError(f"{setting} = {pattern!r} has unbalanced braces; {ACCEPTED}") from error


def _glob(path: str, pattern: str, setting: str) -> list[Found]:
    if not is_local(path):
        files = [Found(*row) for row in glob_remote(path, setting=setting, accepted=ACCEPTED)]
    else:
        files = [Found(file) for file in ([path] if os.path.exists(path) else sorted(glob.glob(path, recursive=True)))]
    if not files:
        which = f"no file {path!r}" if path != pattern else "no file"
        raise UserError(f"{setting} = {pattern!r} matches {which}; {ACCEPTED}")
    for file in files:
        if is_local(file.url) and os.path.isdir(file.url):
            raise UserError(f"{setting} = {pattern!r} matches the folder {file.url!r}; {ACCEPTED}")
        if is_local(file.url) and not os.path.exists(file.url):
            raise UserError(f"{setting} = {pattern!r} matches {file.url!r}, a link to nothing; {ACCEPTED}")
        if file.url.partition("?")[0].endswith(COMPRESSED):
            raise UserError(f"{setting} = {pattern!r} matches {file.url!r}, which is compressed; {ACCEPTED} (unpack it to a .tar first)")
    return files
