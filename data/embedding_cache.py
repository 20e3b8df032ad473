"""Embeddings of the training samples by a frozen tower, which `diptych embed` wrote: read instead of the tower's input."""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..schema import identity
from .bad import BadSample
from .embedding_part import Part, PartHeader, read_parts, source_folder
from .image_presets import preprocessing
from .order import Drawn
from .source import Source
from .spec import DataSpec

SETTING = "data.embeddings"
ACCEPTED = "accepted is a folder that `diptych embed --config` wrote for this recipe"
NAME = "image_embedding"  # in a batch, float32[b, E]


class EmbeddingCache:
    """Embeddings by source and number of the sample, mapped from disk. Safe to share between threads, and to send to another process.

    weights: fingerprint of the tower that made them. dim: E. dtypes: of its arithmetic, which parts may have different ones of.
    """

    def __init__(self, folder: Path, *, sources: Mapping[str, Source], preprocessing: str, weights: str | None = None):
        """sources: numbered in order of their names, as orders do. preprocessing: `image_fingerprint` of the run.

        weights: the tower whose parts are taken where others lie beside them; absent: any.
        Raises UserError where a sample of theirs is missing, or was embedded by several towers or out of another image.
        """
        self._sources = [_parts_of(folder, name, sources[name], weights=weights, preprocessing=preprocessing) for name in sorted(sources)]
        headers = [part.header for parts in self._sources for part in parts]
        for header in headers:
            _check_alike(folder, header, headers[0], preprocessing)
        self.weights, self.dim = headers[0].weights, headers[0].dim
        self.dtypes = tuple(sorted({header.dtype for header in headers}))
        self._starts = [[part.header.first for part in parts] for parts in self._sources]
        self._map()

    def _map(self) -> None:
        self._arrays = [[np.load(part.path, mmap_mode="r", allow_pickle=False) for part in parts] for parts in self._sources]
        self._bad = [{n: why for part in parts for n, why in zip(part.header.bad, part.header.reasons)} for parts in self._sources]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_arrays", "_bad")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._map()

    def read(self, drawn: Drawn) -> np.ndarray:
        """float32[E] of one sample. Raises BadSample where its image could not be read."""
        if (reason := self._bad[drawn.source].get(drawn.sample)) is not None:
            raise BadSample(reason)
        place = bisect.bisect_right(self._starts[drawn.source], drawn.sample) - 1
        return np.array(self._arrays[drawn.source][place][drawn.sample - self._starts[drawn.source][place]])


def open_embeddings(spec: DataSpec, sources: Mapping[str, Source], *, weights: str | None = None) -> EmbeddingCache | None:
    """What `data.embeddings` names; None where there is none. weights, UserError: as of `EmbeddingCache`."""
    if spec.embeddings is None:
        return None
    return EmbeddingCache(Path(spec.embeddings), sources=sources, preprocessing=image_fingerprint(spec), weights=weights)


def image_fingerprint(spec: DataSpec) -> str:
    """SHA-256 of the settings that decide a training image which nothing augments."""
    settings = dataclasses.asdict(preprocessing(spec)) | {"resize_first": spec.resize_first, "decode": identity(spec.decode)}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _parts_of(folder: Path, name: str, source: Source, *, weights: str | None, preprocessing: str) -> list[Part]:
    """The parts that hold all samples of a source, each once, by the tower `weights` and out of the run's images where there are any."""
    parts = read_parts(folder, source.fingerprint)
    if not parts:
        raise UserError(
            f"{SETTING} = {folder} holds no embeddings of the samples of {name} (no {source_folder(folder, source.fingerprint).name} "
            f"in it); {ACCEPTED}"
        )
    alike: dict[tuple[str, str], list[Part]] = {}  # parts of another split, and of another tower, may lie beside them
    for part in parts:
        alike.setdefault((part.path.stem.rpartition("-")[2], part.header.weights), []).append(part)

    def fits(found: list[Part]) -> tuple[bool, bool, int]:
        return found[0].header.weights == weights, found[0].header.preprocessing == preprocessing, _covered(found)

    best = max(alike.values(), key=fits)
    if (covered := _covered(best)) < len(source):
        raise UserError(
            f"{SETTING} = {folder} lacks sample {covered} of the {len(source)} of {name}; accepted is a folder with all parts of it, "
            "which `diptych embed` goes on with"
        )
    return best


def _covered(parts: list[Part]) -> int:
    """How many samples from the first one on are in `parts` of one split and tower."""
    end = 0
    for part in parts:
        end = part.header.stop if part.header.first == end else end
    return end


def _check_alike(folder: Path, header: PartHeader, first: PartHeader, preprocessing: str) -> None:
    if header.preprocessing != preprocessing:
        raise UserError(
            f"{SETTING} = {folder} was made from images with other settings of data (image_size, resize, interpolation, preset, "
            f"resize_first or decode); {ACCEPTED}"
        )
    if (header.weights, header.dim) != (first.weights, first.dim):
        raise UserError(
            f"{SETTING} = {folder} was made by several towers ({first.weights[:12]} and {header.weights[:12]}); accepted are parts of one"
        )
