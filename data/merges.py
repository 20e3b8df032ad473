"""CLIP's byte-pair merges: from a file, or fetched once from their public home."""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import urllib.request
import zlib
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError

NAME = "bpe_simple_vocab_16e6.txt.gz"
URL = f"https://github.com/openai/CLIP/raw/main/clip/{NAME}"
SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
MERGES = 48_894
TIMEOUT_S = 30


def read_merges(content: bytes, *, path: str) -> list[str]:
    """The 48,894 merges of CLIP ("a b", in order) in the bytes of their file, gzipped or not. `path`: for the UserError."""
    try:
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error):
        text = ""
    merges = text.split("\n")[1 : MERGES + 1]
    if not _follow(merges):
        raise UserError(f"data.tokenizer.path = {path!r} does not hold CLIP's {MERGES} merges; accepted is {NAME}")
    return merges


def merges_content(merges: Sequence[str]) -> bytes:
    """The bytes of a file with these merges, to be saved: another Python or zlib gives others, so that they identify nothing."""
    return gzip.compress("\n".join(["#version: 0.2", *merges, ""]).encode(), mtime=0)


def fetch_merges() -> list[str]:
    """The merges from the cache folder, where they are fetched to once and verified. Raises UserError where that fails."""
    file = cache_folder() / NAME
    if not (file.is_file() and _is_right(file.read_bytes())):
        _download(file)
    return read_merges(file.read_bytes(), path=str(file))


def cache_folder() -> Path:
    """`$DIPTYCH_CACHE`, else `diptych` in `$XDG_CACHE_HOME`, else in `~/.cache`."""
    chosen = os.environ.get("DIPTYCH_CACHE")
    return Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "diptych"


def _download(file: Path) -> None:
    try:
        with urllib.request.urlopen(URL, timeout=TIMEOUT_S) as answer:
            content = answer.read()
        if not _is_right(content):
            raise OSError("its SHA-256 is not that of CLIP's merges")
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as whole:
            whole.write(content)
        os.replace(whole.name, file)
    except OSError as error:
        raise UserError(
            f"data.tokenizer.path is none, and {URL} could not be fetched to {file.parent} ({error}); accepted is the path of {NAME}"
        ) from error


def byte_letters() -> list[str]:
    """What stands for each of the 256 bytes: themselves where they print in Latin-1, else the letters from U+0100 on."""
    printing = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(code) for code in [*printing, *range(256, 256 + 256 - len(printing))]]


def _follow(merges: list[str]) -> bool:
    """Whether they are as many as CLIP's, all different, each of two tokens that are letters or were merged before."""
    known = {ending for letter in byte_letters() for ending in (letter, f"{letter}</w>")}
    for merge in merges:
        pair = merge.split()
        if len(pair) != 2 or not known.issuperset(pair):
            return False
        known.add("".join(pair))
    return len(known) == 2 * 256 + MERGES


def _is_right(content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == SHA256
