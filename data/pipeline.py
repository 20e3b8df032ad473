"""The training stream: positions of the run -> batches on the host, through Grain."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import grain
import numpy as np
from PIL import Image

from ..errors import UserError
from .eval_set import EvalSet
from .index import Index
from .lengths import TextLengths, caption_lengths
from .order import SUBSTITUTES, Order, generator
from .samples import Loaded, TrainSamples
from .spec import DataSpec
from .state import check_state, data_state
from .tokenizers import Tokenizer
from .transforms import augmented, is_random

__all__ = ["EvalSet", "TrainStream", "check_state", "data_state"]


class TrainStream(Iterator[dict[str, np.ndarray]]):
    """This host's rows of the global batches: {"image": uint8[b,S,S,3], "text": int32[b,T], "slot": int32[b]}, endlessly.

    Batch k holds the samples at the positions start + k * batch_size + slots. It is the same, bitwise, for any number of threads, any split
    of the slots over hosts, and any start. A bad sample is replaced by one that its position alone decides (with `data.text_lengths`, one
    whose caption leaves the length of the batch as it is). `bad` counts them.

    next() raises UserError where `data.max_bad_fraction` is exceeded or all substitutes are bad, OSError where a shard cannot be read.
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        index: Index,
        tokenizer: Tokenizer,
        context_length: int,
        batch_size: int,
        seed: int,
        slots: np.ndarray,
        start: int = 0,
    ):
        """slots: sorted places in the global batch of `batch_size` samples that this host feeds. start: samples drawn before."""
        self._spec, self._seed, self._start = spec, seed, start
        self._batch_size, self._context_length = batch_size, context_length
        self._order = Order(seed, len(index))
        self._samples = TrainSamples(spec, index=index, tokenizer=tokenizer, context_length=context_length)
        self.bad = self._samples.bad
        self._lengths = None
        if spec.text_lengths:
            lengths = caption_lengths(index, text_key=spec.text_key, tokenizer=tokenizer, context_length=context_length)
            self._lengths = TextLengths(lengths, choices=spec.text_lengths, context_length=context_length, order=self._order)
        self._slots = np.asarray(slots, np.int32)
        # One thread makes one batch: the batch is the element that Grain sees, and its number decides all of it.
        batches = grain.MapDataset.range(sys.maxsize).map(self._batch)
        threads = grain.ReadOptions(num_threads=spec.threads, prefetch_buffer_size=spec.threads + 1)
        self._batches = iter(batches.to_iter_dataset(threads))

    def __next__(self) -> dict[str, np.ndarray]:
        try:
            return next(self._batches)
        except Exception:
            self.close()  # Grain has moved on already: another next() would skip the batch that failed
            raise

    def close(self) -> None:
        """Stops the threads; the stream cannot be used afterwards."""
        self._batches.close()

    def _batch(self, number: int) -> dict[str, np.ndarray]:
        first = self._start + number * self._batch_size
        image = np.empty((len(self._slots), self._spec.image_size, self._spec.image_size, 3), np.uint8)
        text = np.empty((len(self._slots), self._context_length), np.int32)
        for row, slot in enumerate(self._slots.tolist()):
            picture, text[row] = self._row(first + slot)
            image[row] = np.asarray(picture)
        if self._lengths is not None:
            text = np.ascontiguousarray(text[:, : self._lengths.of_batch(first, self._batch_size)])
        return {"image": image, "text": text, "slot": self._slots.copy()}

    def _row(self, position: int) -> tuple[Image.Image, np.ndarray]:
        """The image of S x S pixels, and int32[T]."""
        loaded = self._load(position)
        if not is_random(self._spec.augment):
            return loaded.image, loaded.ids
        return augmented(loaded.image, self._spec, generator(self._seed, position, "augment")), loaded.ids

    def _load(self, position: int) -> Loaded:
        sample = self._order(position)
        for candidate in self._candidates(position, sample):
            loaded = self._samples.load(candidate)
            if loaded is not None:
                return loaded
        raise UserError(
            f"data.train = {list(self._spec.train)} has too many bad samples: one and all its substitutes cannot be used, "
            f"most in {self.bad.worst()}; accepted are samples with an image and {self._spec.text_key}"
        )

    def _candidates(self, position: int, sample: int) -> Iterator[int]:
        """The sample, then up to eight substitutes that fit in its place."""
        yield sample
        left = SUBSTITUTES
        for attempt in range(1, self._order.samples):
            substitute = self._order.substitute(position, attempt)
            if self._lengths is None or self._lengths.fits(substitute, instead_of=sample):
                yield substitute
                left -= 1
            if not left:
                return
