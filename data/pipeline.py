"""The training stream: positions of the run -> batches on the host."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from .bad import BadLog
from .by_processes import ByProcesses
from .by_threads import ByThreads
from .chunks import Chunks
from .embedding_cache import EmbeddingCache
from .eval_set import EvalSet
from .far_shards import far_away, fetch_ahead, open_cache, through_cache
from .mixture import Segment
from .orders import check_batch, make_order
from .rows import Reader, Rows
from .samples import TrainSamples
from .short_captions import ShortCaptions
from .source import Source
from .spec import DataSpec, ViewsSpec
from .state import check_state, data_state, mixture_segments
from .tokenizers import Tokenizer

__all__ = ["EvalSet", "TrainStream", "check_state", "data_state", "mixture_segments"]


class TrainStream(Iterator[dict[str, np.ndarray]]):
    """This host's rows of the global batches: {"image": uint8[b,S,S,3], "text": int32[b,T], "slot": int32[b], "bad": int32[b]}, endlessly.

    Batch k holds the positions start + k * batch_size and on, in rows by `order.positions`. It is the same, bitwise, for any number of
    threads and worker processes, any split of the slots over hosts, and any start. A bad sample is replaced by another of its source and
    stream, which its position alone decides; `bad` says how many were met in each row's place, and the stream's `bad` which.

    The memory of a batch is used again once no array of it is left, on the host or on a device that reads the host's memory.

    order: of the samples. rows: what the batches are made of.

    With views, "image_views": uint8[b,2,S,S,3] are in it too.

    With `data.label_key` "label": int32[b], -1 where a sample has none.

    With `data.embeddings` "image_embedding": float32[b,E] stands for the image.

    Shards from far away are fetched ahead into the host's shard cache; until one has arrived, its samples are read by ranges.

    next() raises UserError where 100 samples in a row are bad, OSError where a shard cannot be read.
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        sources: Mapping[str, Source],
        tokenizer: Tokenizer,
        context_length: int,
        batch_size: int,
        seed: int,
        slots: np.ndarray,
        counted: np.ndarray | None = None,
        start: int = 0,
        segments: Sequence[Segment] | None = None,
        views: ViewsSpec | None = None,
        embeddings: EmbeddingCache | None = None,
    ):
        """slots: sorted places in the global batch of `batch_size` samples that this host feeds. start: samples drawn before.

        counted: those of the slots whose bad draws `bad` holds, as no other host does; absent: all.
        segments: weights of the sources from positions on, as `mixture_segments` gives them; absent: the recipe's from the first sample on.
        views: by which two views of each image are made beside it; absent: none are.
        embeddings: `open_embeddings` of the spec and the sources, or those of one tower.
        """
        self.order = make_order(spec, sources=sources, segments=segments or mixture_segments(spec, {}), seed=seed)
        check_batch(self.order, batch_size=batch_size, start=start)
        self._slots, self._batch_size, self._position = np.asarray(slots, np.int32), batch_size, start
        self._counted = np.isin(self._slots, self._slots if counted is None else counted)
        self._prefetcher = None
        if any(map(far_away, sources.values())):
            cache = open_cache(spec)
            sources = through_cache(sources, cache)
            self._prefetcher = fetch_ahead(cache, sources, order=self.order, slots=slots, batch_size=batch_size, start=start)
        samples = TrainSamples(
            spec,
            sources=sources,
            tokenizer=tokenizer,
            context_length=context_length,
            views=views,
            embeddings=embeddings,
        )
        self.rows = Chunks(
            spec,
            order=self.order,
            samples=samples,
            batch_size=batch_size,
            seed=seed,
            slots=self._slots,
            start=start,
            views=views,
            short_captions=None if spec.text_schedule is None else ShortCaptions(spec.text_schedule, tokenizer, full=context_length),
        )
        self._reader = read_ahead(self.rows, spec)
        self.bad = BadLog()

    def __next__(self) -> dict[str, np.ndarray]:
        try:
            batch, draws = next(self._reader)
            self._position += self._batch_size
            if self._prefetcher is not None:
                self._prefetcher.advance(self._position)
        except Exception:
            self.close()  # another next() would skip what failed
            raise
        self.bad.add(list(itertools.compress(draws, np.repeat(self._counted, batch["bad"]))))
        return batch | {"slot": self._slots.copy()}

    def close(self) -> None:
        """Stops threads and processes; the stream cannot be used afterwards."""
        self._reader.close()
        if self._prefetcher is not None:
            self._prefetcher.close()


def read_ahead(rows: Rows, spec: DataSpec) -> Reader:
    """The batches of `rows`, one and a bit of them made before they are asked for.

    By `data.threads` threads, and where `data.workers` is above 0 by so many processes with as many threads each.
    """
    return ByProcesses(rows, workers=spec.workers, threads=spec.threads) if spec.workers else ByThreads(rows, threads=spec.threads)
