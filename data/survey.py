"""A look at many samples of a source: sizes, caption lengths, and what is bad; in memory that does not grow with their number."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Callable, Sequence

from .bad import Bad, BadSample
from .decode import image_of
from .in_order import in_order
from .source import Source
from .spec import DecodeSpec
from .text import text_of

LISTED = 10_000  # bad samples that are kept by name


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


class Survey:
    """What all samples are together. bad: the first 10,000 bad ones, with their place among the samples."""

    def __init__(self) -> None:
        self.samples = self.bad_samples = 0
        self.suffixes: set[str] = set()
        self.bad: list[Bad] = []
        self._bad_by_shard: collections.Counter[tuple[str, str]] = collections.Counter()
        self._values = {name: collections.Counter[int]() for name in ("width", "height", "words")}

    def add(self, seen: Seen) -> None:
        """One more sample."""
        self.samples += 1
        self.suffixes.update(seen.suffixes)
        if seen.reason is None:
            for name, values in self._values.items():
                values[getattr(seen, name)] += 1
            return
        self.bad_samples += 1
        self._bad_by_shard[seen.shard, seen.reason] += 1
        if len(self.bad) < LISTED:
            self.bad.append(Bad(seen.number, seen.shard, seen.key, seen.reason))

    @property
    def bad_by_shard(self) -> dict[tuple[str, str], int]:
        """(shard, reason) -> samples, most first."""
        return dict(self._bad_by_shard.most_common())

    def quantiles(self, name: str) -> dict[str, float]:
        """`NAME_min`, `NAME_median`, `NAME_max` of the good samples' `width`, `height` or `words`; empty where there is none."""
        values = sorted(self._values[name].items())
        if not values:
            return {}
        reached = itertools.accumulate(count for _, count in values)
        median = next(value for (value, _), samples in zip(values, reached) if 2 * samples >= self.samples - self.bad_samples)
        return {f"{name}_min": values[0][0], f"{name}_median": median, f"{name}_max": values[-1][0]}


def survey(
    source: Source,
    numbers: Sequence[int],
    *,
    text_key: str,
    decode: DecodeSpec,
    threads: int,
    each: Callable[[Seen], object] = lambda seen: None,
) -> Survey:
    """Reads and decodes the samples `numbers`; `each` is called with every one, in order. Raises OSError where one cannot be read."""

    def look(number: int) -> Seen:
        raw = source.read(number)
        found = Seen(number, raw.shard, raw.key, tuple(sorted(raw.members)))
        try:
            image, caption = image_of(raw, decode), text_of(raw, text_key)
        except BadSample as bad:
            return dataclasses.replace(found, reason=bad.reason)
        return dataclasses.replace(found, width=image.width, height=image.height, words=len(caption.split()), caption=caption)

    result = Survey()
    for seen in in_order(look, numbers, threads=threads):
        result.add(seen)
        each(seen)
    return result
