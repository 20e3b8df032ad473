"""A few rows of a batch at a time, each a pure function of its number: what one thread of one process makes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import UserError
from .bad import IN_A_ROW, Bad, BadCounts, count_bad
from .captions import caption_members
from .embedding_cache import NAME as EMBEDDING
from .image_sizes import size_at
from .labels import NAME as LABEL
from .order import Drawn, Order, generator, positions
from .picture import Picture
from .samples import Loaded, TrainSamples
from .short_captions import ShortCaptions
from .sized_images import sized_row
from .spec import DataSpec, ViewsSpec
from .transforms import augmented, is_random
from .views import NAME, image_after, views_of

ROWS = 16  # 2.4 MB of pixels: so little that malloc hands the same pages out again, and the last thread of a batch is not waited for long
BAD = "bad_draws"


class Chunks:
    """Chunk n holds the rows of batch n // per_batch from row n % per_batch * 16 on.

    Safe to share between threads, and to send to another process.
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        order: Order,
        samples: TrainSamples,
        batch_size: int,
        seed: int,
        slots: np.ndarray,
        start: int,
        views: ViewsSpec | None = None,
        short_captions: ShortCaptions | None = None,
    ):
        """slots: places in the global batch of `batch_size` samples. start: position of the first batch. views: as the samples have it.

        short_captions: shortens the captions of some steps; None: of none.
        """
        self._spec, self._order, self._samples, self._views, self._short_captions = spec, order, samples, views, short_captions
        self._batch_size, self._seed, self._slots, self._start = batch_size, seed, slots, start
        self.per_batch = -(-len(slots) // ROWS)

    def __call__(self, number: int) -> dict[str, Any]:
        """{"image" or what else an image becomes: uint8[n,...], "text": int32[n,T], "bad": int32[n], "bad_draws": list of Bad, by row}.

        With views of the images also "image_views": uint8[n,2,S,S,3], with `data.label_key` "label": int32[n].
        """
        batch, part = divmod(number, self.per_batch)
        first = self._start + batch * self._batch_size
        slots = self._slots[part * ROWS : (part + 1) * ROWS]
        rows: dict[str, np.ndarray] = {}
        found: list[Bad] = []
        bad = np.empty(len(slots), np.int32)
        for row, position in enumerate(positions(first, self._batch_size, slots, streams=self._order.streams).tolist()):
            before = len(found)
            loaded = self._load(position, found)
            bad[row] = len(found) - before
            for name, value in self._row(loaded, position, first).items():
                if not row:
                    rows[name] = np.empty((len(slots), *value.shape), value.dtype)
                rows[name][row] = value
        return {**rows, "bad": bad, BAD: found}

    def _row(self, loaded: Loaded, position: int, first: int) -> dict[str, np.ndarray]:
        row = self._images(loaded.image, position, first) | {"text": self._text(loaded, position, first)}
        return row if self._spec.label_key is None else row | {LABEL: np.asarray(loaded.label, np.int32)}

    def _images(self, image: Picture, position: int, first: int) -> dict[str, np.ndarray]:
        if self._spec.embeddings is not None:
            return {EMBEDDING: np.asarray(image)}
        schedule = self._spec.size_schedule
        size, step = self._spec.image_size, first // self._batch_size
        size = size if schedule is None else size_at(schedule, seed=self._seed, step=step, full=size)
        rows = self._image(image_after(image, self._spec, self._views), position, size)
        if self._views is None:
            return rows
        random = generator(self._seed, position, "views")
        return rows | {NAME: views_of(image, self._spec, random, views=self._views, size=size)}

    def _image(self, image: Picture, position: int, size: int) -> dict[str, np.ndarray]:
        schedule = self._spec.size_schedule
        if schedule is None and not is_random(self._spec.augment):
            return {"image": np.asarray(image)}
        random = generator(self._seed, position, "augment")
        if schedule is None:
            return {"image": np.asarray(augmented(image, self._spec, random))}
        return sized_row(image, self._spec, random, schedule=schedule, size=size)

    def _text(self, loaded: Loaded, position: int, first: int) -> np.ndarray:
        text = loaded.text
        row = text if isinstance(text, np.ndarray) else self._samples.ids(text, generator(self._seed, position, "caption"))
        if self._short_captions is None:
            return row
        step = first // self._batch_size
        return self._short_captions(row, step=step, random=lambda: generator(self._seed, position, "short caption"))

    def _load(self, position: int, found: list[Bad]) -> Loaded:
        """The sample of a position, or the first of its substitutes that can be used; bad ones are added to `found`."""
        row = []
        for drawn in self._candidates(position):
            loaded = self._samples.load(drawn)
            if isinstance(loaded, Loaded):
                return loaded
            row.append(Bad(position, loaded.shard, loaded.key, loaded.reason))
            found.append(row[-1])
            if len(row) == IN_A_ROW:
                break
        counts = BadCounts()
        counts.add(count_bad(row))
        raise UserError(
            f"data has too many bad samples: {len(row)} in a row cannot be used at position {position} of the run, "
            f"most in {counts.worst()}; accepted are samples with an image and {' or '.join(caption_members(self._spec))}"
        )

    def _candidates(self, position: int) -> Iterator[Drawn]:
        yield self._order(position)
        yield from self._order.substitutes(position)
