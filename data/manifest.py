"""The manifest of shards: a JSON file that lists them, and beside it where each of their samples starts."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import posixpath
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

FORMAT, VERSION = "diptych-index", 1
STARTS = np.dtype("<u4")


@dataclasses.dataclass(frozen=True, slots=True)
class Shard:
    """One tar. url: absolute path or URL. bytes: its size. etag: its version where it lies (of a local file the time it was changed).

    samples: how many it holds. extensions: suffixes of its members that were seen. repeated: samples with a key that came before.
    counted: where the number is from, `headers` or the name of a file beside the shard.
    located: whether it is known where its samples start; else its headers are read when the first of them is.
    """

    url: str
    bytes: int
    etag: str | None
    samples: int
    extensions: tuple[str, ...] = ()
    repeated: int = 0
    counted: str = "headers"
    located: bool = True


class ManifestError(ValueError):
    """The file is no manifest; the message ends a sentence that begins with its name."""


class Starts:
    """uint32[samples + shards]: of each shard the starts of its samples and the end of the last, in blocks of 512 bytes.

    Mapped from its file, if it has one, and then sent to another process as the file's name alone.
    """

    def __init__(self, array: np.ndarray, *, file: str | None = None):
        self.array, self._file = array, file

    @classmethod
    def mapped(cls, file: str, *, length: int) -> Starts:
        """The starts in a file. Raises ManifestError where it is missing, or not of that length."""
        try:
            mapped = np.memmap(file, STARTS, "r")
        except (OSError, ValueError) as error:
            raise ManifestError(f"lacks its starts of samples in {os.path.basename(file)!r}") from error
        if len(mapped) != length:
            raise ManifestError(f"has {len(mapped)} starts of samples in {os.path.basename(file)!r} where {length} belong")
        return cls(mapped.view(np.ndarray), file=file)

    def __reduce__(self) -> tuple[Callable[..., Starts], tuple[Any, ...]]:
        return (Starts, (self.array,)) if self._file is None else (_mapped, (self._file, len(self.array)))


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Shards in the order of their numbers, the starts of their samples, and the fingerprint of names, bytes and counts."""

    shards: tuple[Shard, ...]
    starts: Starts
    fingerprint: str

    @property
    def samples(self) -> int:
        """Of all shards."""
        return sum(shard.samples for shard in self.shards)


def base_name(url: str) -> str:
    """The file's own name, without a URL's query."""
    return posixpath.basename(url.partition("?")[0] if "://" in url else url)


def in_order(shards: Iterable[Shard]) -> list[Shard]:
    """Sorted by base name, then by size: the same order wherever the shards lie and however patterns name them."""
    return sorted(shards, key=lambda shard: (base_name(shard.url), shard.bytes, shard.url))


def fingerprint(shards: Iterable[Shard]) -> str:
    """SHA-256 of the shards' base names, bytes and counts, in order: the same wherever they lie."""
    rows = [[base_name(shard.url), shard.bytes, shard.samples] for shard in shards]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def write_manifest(file: Path, shards: Sequence[Shard], starts: Callable[[Shard], np.ndarray]) -> Manifest:
    """Writes `file` and its starts, so that at any time `file` is missing, as it was, or whole. starts: of a shard, uint32[samples + 1].

    Shards below the manifest's folder are written relative to it, so that the folder may move. Raises OSError.
    """
    before = _starts_name(file)
    digest = hashlib.sha256()
    with _written(file.parent) as written:
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
    with _written(file.parent) as written:
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


def read_manifest(file: Path) -> Manifest:
    """The manifest in `file`; no shard is looked at. Raises OSError, and ManifestError where it is not one, or not whole."""
    head = _head(file)
    try:
        shards = _shards(head["shards"], folder=file.parent)
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


def _starts_name(file: Path) -> str | None:
    """The name of the starts that a manifest, if there is one, has now."""
    try:
        name = _head(file).get("starts")
    except (OSError, ManifestError):
        return None
    return name if isinstance(name, str) and os.path.basename(name) == name and name.endswith(".u32") else None


def _row(shard: Shard, *, folder: Path) -> dict[str, Any]:
    inside = os.path.join(os.path.abspath(folder), "")
    url = shard.url.removeprefix(inside) if shard.url.startswith(inside) else shard.url
    return dataclasses.asdict(shard) | {"url": url}


def _shards(rows: list[dict[str, Any]], *, folder: Path) -> tuple[Shard, ...]:
    inside, suffixes = os.path.join(os.path.abspath(folder), ""), dict[tuple[str, ...], tuple[str, ...]]()
    shards = []
    for row in rows:
        row["url"] = row["url"] if "://" in row["url"] or row["url"].startswith("/") else inside + row["url"]
        extensions = tuple(row["extensions"])
        row["extensions"] = suffixes.setdefault(extensions, extensions)
        shards.append(Shard(**row))
    if any(shard.samples < 0 for shard in shards):
        raise ValueError
    return tuple(shards)


def _mapped(file: str, length: int) -> Starts:
    return Starts.mapped(file, length=length)


@contextlib.contextmanager
def _written(folder: Path) -> Iterator[IO[bytes]]:
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
