"""A look at every sample of a source: sizes, caption lengths, and what is bad."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

from .bad import BadSample
from .decode import image_of
from .source import Source
from .spec import DecodeSpec
from .text import text_of


@dataclasses.dataclass(frozen=True)
class Seen:
    """What one sample is. reason: why it is bad, else None (then the numbers are those of its image and caption)."""

    number: int
    shard: str
    key: str
    suffixes: tuple[str, ...]
    width: int = 0
    height: int = 0
    words: int = 0
    caption: str = ""
    reason: str | None = None


@dataclasses.dataclass(frozen=True)
class Survey:
    """What all samples are together."""

    seen: tuple[Seen, ...]

    @property
    def good(self) -> list[Seen]:
        """The samples that can be used."""
        return [sample for sample in self.seen if sample.reason is None]

    @property
    def bad(self) -> list[Seen]:
        """The samples that cannot."""
        return [sample for sample in self.seen if sample.reason is not None]

    @property
    def bad_by_shard(self) -> dict[tuple[str, str], int]:
        """(shard, reason) -> samples, most first."""
        return dict(collections.Counter((sample.shard, str(sample.reason)) for sample in self.bad).most_common())

    def quantiles(self, name: str) -> dict[str, float]:
        """`NAME_min`, `NAME_median`, `NAME_max` of the good samples' `width`, `height` or `words`; empty where there is none."""
        values = [getattr(sample, name) for sample in self.good]
        if not values:
            return {}
        return {f"{name}_{which}": float(np.quantile(values, share)) for which, share in (("min", 0), ("median", 0.5), ("max", 1))}


def survey(
    source: Source, numbers: Iterable[int], *, text_key: str, decode: DecodeSpec, threads: int, done: Callable[[], object] = lambda: None
) -> Survey:
    """Reads and decodes the samples `numbers`; `done` is called after each. Raises OSError where one cannot be read."""

    def look(number: int) -> Seen:
        raw = source.read(number)
        found = Seen(number, raw.shard, raw.key, tuple(sorted(raw.members)))
        try:
            image, caption = image_of(raw, decode), text_of(raw, text_key)
        except BadSample as bad:
            return dataclasses.replace(found, reason=bad.reason)
        return dataclasses.replace(found, width=image.width, height=image.height, words=len(caption.split()), caption=caption)

    seen = []
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for found in pool.map(look, numbers):
            seen.append(found)
            done()
    return Survey(tuple(seen))
