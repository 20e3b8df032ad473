"""A few rows of a batch at a time, each a pure function of its position: what one thread of one process makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ..errors import UserError
from .bad import IN_A_ROW, Bad, BadCounts, count_bad
from .captions import caption_members
from .embedding_cache import NAME as EMBEDDING
from .image_sizes import size_at
from .labels import NAME as LABEL
from .order import Drawn, Order, generator, positions
from .picture import Picture
from .row_layout import Field, Layout, row_layout
from .rows import Rows
from .samples import Loaded, TrainSamples
from .short_captions import ShortCaptions
from .sized_images import sized_row
from .spec import DataSpec, ViewsSpec
from .transforms import augmented, is_random
from .views import NAME, image_after, views_of

ROWS = 16  # so few that the last thread of a batch is not waited for long


class Chunks(Rows):
    """Part k of a batch are its rows from k * 16 on, of this host's."""

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
        self.count, self.parts = len(slots), -(-len(slots) // ROWS)

    def layout(self, batch: int) -> Layout:
        """{"image" or what else an image becomes: uint8[...], "text": int32[T], "bad": int32[]: how many draws were bad in its place}.

        With views of the images also "image_views": uint8[2,S,S,3], with `data.label_key` "label": int32[].
        """
        step = self._start // self._batch_size + batch
        row = row_layout(
            self._spec,
            size=self._size(step),
            text_length=self._samples.context_length if self._short_captions is None else self._short_captions.length(step),
            views=self._views is not None,
            embed_dim=self._samples.embed_dim,
        )
        return {**row, "bad": Field((), np.dtype(np.int32))}

    def fill(self, batch: int, part: int, out: Mapping[str, np.ndarray]) -> list[Bad]:
        """Raises OSError where a sample cannot be read, UserError where 100 in a row are bad."""
        first = self._start + batch * self._batch_size
        rows = range(self.count)[part * ROWS : (part + 1) * ROWS]
        found: list[Bad] = []
        places = positions(first, self._batch_size, self._slots[rows.start : rows.stop], streams=self._order.streams)
        for row, position in zip(rows, places.tolist()):
            before = len(found)
            loaded = self._load(position, found)
            out["bad"][row] = len(found) - before
            for name, value in self._row(loaded, position, first).items():
                out[name][row] = value
        return found

    def _row(self, loaded: Loaded, position: int, first: int) -> dict[str, np.ndarray]:
        row = self._images(loaded.image, position, first) | {"text": self._text(loaded, position, first)}
        return row if self._spec.label_key is None else row | {LABEL: np.asarray(loaded.label, np.int32)}

    def _images(self, image: Picture, position: int, first: int) -> dict[str, np.ndarray]:
        if self._spec.embeddings is not None:
            return {EMBEDDING: np.asarray(image)}
        size = self._size(first // self._batch_size)
        rows = self._image(image_after(image, self._spec, self._views), position, size)
        if self._views is None:
            return rows
        random = generator(self._seed, position, "views")
        return rows | {NAME: views_of(image, self._spec, random, views=self._views, size=size)}

    def _size(self, step: int) -> int:
        schedule, full = self._spec.size_schedule, self._spec.image_size
        return full if schedule is None else size_at(schedule, seed=self._seed, step=step, full=full)

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
