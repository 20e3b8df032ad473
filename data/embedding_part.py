"""The files of an embedding cache: embeddings of neighbouring samples of one source, and beside them what they are."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..schema import build, to_dict

VERSION = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartHeader:
    """What `part-I-of-N.json` says of `part-I-of-N.npy`, float32[stop - first, dim]. It is written last: with it the part is complete.

    tower: `image`. weights: fingerprint of the tower. preprocessing: of what it was given (`image_fingerprint`). dtype: its arithmetic.
    manifest: fingerprint of the source. samples: of the whole source. first, stop: numbers of those in the part.
    bad: numbers of the samples without an image that can be read, whose rows are zero; reasons: why.
    """

    version: int = VERSION
    tower: str
    weights: str
    preprocessing: str
    dtype: str
    manifest: str
    samples: int
    first: int
    stop: int
    dim: int
    bad: tuple[int, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Part:
    """A complete part on disk. path: of the array."""

    path: Path
    header: PartHeader


def source_folder(folder: Path, manifest: str) -> Path:
    """Where the parts of a source lie: the same whatever the source is called in a recipe."""
    return folder / manifest[:16]


def part_path(folder: Path, manifest: str, *, part: int, parts: int) -> Path:
    """The array of part `part` of `parts`."""
    return source_folder(folder, manifest) / f"part-{part:05d}-of-{parts:05d}.npy"


def read_part(path: Path) -> Part | None:
    """The part whose array is `path`; None where it is not complete. UserError for one that cannot be understood."""
    try:
        content = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.get("version") != VERSION:
            raise UserError(f"it has no format version {VERSION}")
        header, array = build(PartHeader, content), np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, UserError) as error:
        raise UserError(f"{path} is no part of an embedding cache ({error}); accepted are files that `diptych embed` wrote") from None
    if array.shape != (header.stop - header.first, header.dim) or array.dtype != np.float32:
        raise UserError(
            f"{path} holds {array.dtype}{array.shape}, where {path.with_suffix('.json').name} says otherwise; "
            "accepted are files as `diptych embed` wrote them"
        )
    return Part(path, header)


def read_parts(folder: Path, manifest: str) -> list[Part]:
    """The complete parts of a source, in order of their samples."""
    found = (read_part(path) for path in sorted(source_folder(folder, manifest).glob("part-*-of-*.npy")))
    return sorted((part for part in found if part is not None), key=lambda part: part.header.first)


@contextlib.contextmanager
def new_part(path: Path, *, rows: int, dim: int) -> Iterator[np.ndarray]:
    """float32[rows, dim], a file under a name of its own until the block ends well, when it becomes `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        array = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.float32, shape=(rows, dim))
        yield array
        array.flush()
        del array
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_header(path: Path, header: PartHeader) -> None:
    """Makes the part complete whose array is `path`."""
    unfinished = path.with_suffix(f".json.{os.getpid()}")
    unfinished.write_text(json.dumps(to_dict(header)) + "\n", encoding="utf-8")
    os.replace(unfinished, path.with_suffix(".json"))
