"""Sample number -> what of it never changes: the decoded image and the token ids."""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image

from .bad import BadSample, BadSamples
from .cache import BoundedCache
from .decode import image_of
from .index import Index
from .spec import DataSpec
from .text import text_of
from .tokenizers import Tokenizer
from .transforms import needed_side, prepare

MIB = 1 << 20
PIXEL_BYTES = 4  # Pillow keeps RGB in four
OBJECT_BYTES = 500


@dataclasses.dataclass(frozen=True, eq=False)
class Loaded:
    """image: RGB, as `prepare` leaves it. ids: int32[T]."""

    image: Image.Image
    ids: np.ndarray


class TrainSamples:
    """Loads training samples by number, and keeps them while `data.cache_mb` has room. `bad` counts those that cannot be used."""

    def __init__(self, spec: DataSpec, *, index: Index, tokenizer: Tokenizer, context_length: int):
        self.bad = BadSamples(max_fraction=spec.max_bad_fraction)
        self._spec, self._index, self._needed_side = spec, index, needed_side(spec)
        self._tokenizer, self._context_length = tokenizer, context_length
        self._cache = BoundedCache[Loaded](spec.cache_mb * MIB)

    def load(self, sample: int) -> Loaded | None:
        """Sample number `sample`; None where its content is bad. Raises OSError (it cannot be read) and UserError (too many are bad)."""
        loaded = self._cache.get(sample)
        if loaded is None:
            loaded = self._load(sample)
        if loaded is not None:
            self.bad.good()
        return loaded

    def _load(self, sample: int) -> Loaded | None:
        raw = self._index.read(sample)
        try:
            image = prepare(image_of(raw, self._spec.decode, needed=self._needed_side), self._spec)
            ids = self._tokenizer([text_of(raw, self._spec.text_key)], self._context_length)[0]
        except BadSample as bad:
            self.bad.bad(raw.shard, raw.key, bad.reason)
            return None
        size = image.width * image.height * PIXEL_BYTES + ids.nbytes + OBJECT_BYTES
        loaded = Loaded(image, ids)
        self._cache.put(sample, loaded, size=size)
        return loaded
