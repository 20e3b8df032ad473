"""Samples for evaluation: in the order of the shards, with the evaluation transform, the same on every host."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from ..errors import UserError
from .bad import BadSample
from .cache import BoundedCache
from .captions import caption_members, caption_of, captions_of
from .decode import image_of
from .index import index_shards
from .known_bad import known_bad
from .labels import label_of
from .order import generator
from .read_in_order import readers
from .sample import Sample
from .samples import MIB
from .spec import DataSpec, ViewsSpec
from .text import text_of
from .transforms import by_reference, evaluated
from .views import COUNT, prepare_both, views_of

LOG = logging.getLogger("diptych.data")
T = TypeVar("T")


class EvalSet:
    """The usable samples of shards, numbered 0..len-1 in the order of the shards.

    What is bad (a broken image, no caption) is found by one pass over all samples, logged, left out, and remembered by `known_bad`: a later
    start decodes nothing before it is asked for images. Decoded images are kept up to `data.cache_mb`. Methods raise OSError where a shard
    cannot be read.
    """

    def __init__(self, patterns: Sequence[str], *, spec: DataSpec, setting: str):
        """setting: the path in the recipe of `patterns`, for messages. Raises UserError as `index_shards` does; reads headers alone."""
        self._spec, self._setting = by_reference(spec), setting
        self._index = index_shards(patterns, setting=setting)
        self._cache = BoundedCache[int, np.ndarray](spec.cache_mb * MIB)

    def __len__(self) -> int:
        return len(self._numbers)

    def captions(self) -> list[str]:
        """The caption of each sample; of one that training draws, always the same (`caption_of`)."""
        return self._parallel(lambda sample: caption_of(self._index.read(sample), self._spec, None), self._numbers.tolist())

    def member(self, key_spec: str) -> list[str]:
        """The text of a member of each sample: `txt`, `cls`, `json:KEY`. Raises UserError where a sample lacks it."""
        return self._parallel(lambda sample: self._member(self._index.read(sample), key_spec), self._numbers.tolist())

    def labels(self, key_spec: str) -> np.ndarray:
        """int32[len]: the class of each sample by `cls` or `json:KEY`, -1 where it has none. UserError where one is no whole number."""
        return np.array(self._parallel(lambda sample: self._label(self._index.read(sample), key_spec), self._numbers.tolist()), np.int32)

    def images(self, start: int, stop: int) -> np.ndarray:
        """uint8[n, S, S, 3]: samples start .. stop - 1, decoded by `data.threads` threads. The array is the caller's."""
        samples = self._numbers[start:stop].tolist()
        size = self._spec.image_size
        return np.stack(self._parallel(self._image, samples)) if samples else np.empty((0, size, size, 3), np.uint8)

    def views(self, start: int, stop: int, *, views: ViewsSpec) -> np.ndarray:
        """uint8[n, 2, S, S, 3]: two views of each of the samples start .. stop - 1, always the same two."""
        samples = self._numbers[start:stop].tolist()
        size = self._spec.image_size
        made = self._parallel(functools.partial(self._views, views=views), samples)
        return np.stack(made) if samples else np.empty((0, COUNT, size, size, 3), np.uint8)

    @functools.cached_property
    def _numbers(self) -> np.ndarray:
        """int64[len]: numbers in the index of the samples that can be used."""
        usable = np.ones(len(self._index), bool)
        usable[known_bad(self._index, self._spec, find=self._find_bad)] = False
        if not usable.any():
            wanted = " or ".join(caption_members(self._spec))
            raise UserError(f"{self._setting} holds no usable sample; accepted are samples with an image and {wanted}")
        if not usable.all():
            LOG.warning("%d of %d samples of %s are bad and left out", len(usable) - usable.sum(), len(usable), self._setting)
        return np.flatnonzero(usable)

    def _find_bad(self) -> list[int]:
        samples = range(len(self._index))
        return [sample for sample, bad in zip(samples, self._parallel(self._is_bad, samples)) if bad]

    def _is_bad(self, sample: int) -> bool:
        raw = self._index.read(sample)
        try:
            captions_of(raw, self._spec)
            self._decoded(sample, raw)
        except BadSample as bad:
            LOG.warning("bad sample %s in %s: %s; it is left out of %s", raw.key, raw.shard, bad.reason, self._setting)
            return True
        return False

    def _image(self, sample: int) -> np.ndarray:
        image = self._cache.get(sample)
        return image if image is not None else self._decoded(sample, self._index.read(sample))

    def _decoded(self, sample: int, raw: Sample) -> np.ndarray:
        image = np.asarray(evaluated(image_of(raw, self._spec.decode), self._spec))
        self._cache.put(sample, image, size=image.nbytes)
        return image

    def _views(self, sample: int, *, views: ViewsSpec) -> np.ndarray:
        spec = dataclasses.replace(self._spec, size_schedule=None)
        image = prepare_both(image_of(self._index.read(sample), spec.decode), spec, views)
        return views_of(image, spec, generator(0, sample, "views"), views=views, size=spec.image_size)

    def _member(self, raw: Sample, key: str) -> str:
        return self._read(text_of, raw, key, fault=f"without {key!r}", accepted="samples with it")

    def _label(self, raw: Sample, key: str) -> int:
        return self._read(label_of, raw, key, fault="with a bad label", accepted="whole numbers")

    def _read(self, read: Callable[[Sample, str], T], raw: Sample, key: str, *, fault: str, accepted: str) -> T:
        try:
            return read(raw, key)
        except BadSample as bad:
            raise UserError(
                f"{self._setting} has the sample {raw.key} in {raw.shard} {fault} ({bad.reason}); accepted are {accepted}"
            ) from bad

    def _parallel(self, function: Callable[[int], T], samples: Iterable[int]) -> list[T]:
        with concurrent.futures.ThreadPoolExecutor(readers(self._index, threads=self._spec.threads)) as pool:
            return list(pool.map(function, samples))
