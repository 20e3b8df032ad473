"""Sample -> what of it never changes: the decoded image, and the token ids or what the caption is drawn from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from .bad import BadSample
from .cache import BoundedCache
from .captions import Captions, captions_of, choose, is_random
from .decode import picture_of
from .embedding_cache import EmbeddingCache
from .labels import ABSENT, label_of
from .order import Drawn
from .picture import Picture, memory_of
from .sample import Sample
from .source import Source
from .spec import DataSpec, ViewsSpec
from .tokenizers import Tokenizer
from .views import prepare_both, side_needed

MIB = 1 << 20
OBJECT_BYTES = 500


@dataclasses.dataclass(frozen=True, eq=False)
class Loaded:
    """image: RGB, as `prepare_both` leaves it; with `data.embeddings` float32[E], which stands for it.

    text: int32[T], or with captions that are drawn what they are drawn from. label: the class by `data.label_key`, -1: none.
    """

    image: Picture
    text: np.ndarray | Captions
    label: int = ABSENT


@dataclasses.dataclass(frozen=True)
class Rejected:
    """A sample that cannot be used."""

    shard: str
    key: str
    reason: str


class TrainSamples:
    """Loads training samples, and keeps them while `data.cache_mb`, or a worker's share of it, has room. Safe to share between threads.

    context_length: tokens of a caption.
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        sources: Mapping[str, Source],
        tokenizer: Tokenizer,
        context_length: int,
        views: ViewsSpec | None = None,
        embeddings: EmbeddingCache | None = None,
    ):
        """sources: numbered in order of their names, as orders do. views: that will be made of the images; None: none.

        embeddings: what stands for the images, which are then not decoded; None: nothing does.
        """
        self._spec, self._views, self._needed_side, self._embeddings = spec, views, side_needed(spec, views), embeddings
        self._sources = [sources[name] for name in sorted(sources)]
        self._tokenizer, self.context_length = tokenizer, context_length
        self._draws_captions = is_random(spec.caption)
        self._cache = BoundedCache[Drawn, Loaded](spec.cache_mb * MIB // max(spec.workers, 1))

    @property
    def embed_dim(self) -> int | None:
        """E of the embeddings; None where there are none."""
        return None if self._embeddings is None else self._embeddings.dim

    def load(self, drawn: Drawn) -> Loaded | Rejected:
        """Raises OSError where the sample cannot be read."""
        loaded = self._cache.get(drawn)
        return self._load(drawn) if loaded is None else loaded

    def ids(self, captions: Captions, random: np.random.Generator | None) -> np.ndarray:
        """int32[T]: the tokens of the caption that `random` draws."""
        return self._tokenizer([choose(captions, self._spec.caption, random)], self.context_length)[0]

    def _image(self, raw: Sample, drawn: Drawn) -> Picture:
        if self._embeddings is not None:
            return self._embeddings.read(drawn)
        return prepare_both(picture_of(raw, self._spec.decode, needed=self._needed_side), self._spec, self._views)

    def _load(self, drawn: Drawn) -> Loaded | Rejected:
        raw = self._sources[drawn.source].read(drawn.sample)
        try:
            image = self._image(raw, drawn)
            captions = captions_of(raw, self._spec)
            label = ABSENT if self._spec.label_key is None else label_of(raw, self._spec.label_key)
        except BadSample as bad:
            return Rejected(raw.shard, raw.key, bad.reason)
        text = captions if self._draws_captions else self.ids(captions, None)
        loaded = Loaded(image, text, label)
        self._cache.put(drawn, loaded, size=memory_of(image) + text.nbytes + OBJECT_BYTES)
        return loaded
