"""The order that a recipe names, over its sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import UserError
from .block_order import BlockShuffle
from .mixture import Mixture, Segment
from .order import ExactShuffle, Order, Shuffle, hash_seed
from .source import Source
from .spec import DataSpec

EXACT_BELOW = 1_000_000  # samples


def kind_of_order(spec: DataSpec, *, samples: int) -> str:
    """`exact` or `block`: `data.order`, where `auto` is `exact` below a million samples of all sources."""
    if spec.order == "auto":
        return "exact" if samples < EXACT_BELOW else "block"
    return spec.order


def make_order(spec: DataSpec, *, sources: Mapping[str, Source], segments: Sequence[Segment], seed: int) -> Order:
    """Sources are numbered in order of their names. Raises UserError where one is empty or has fewer samples than there are streams."""
    for name, source in sources.items():
        if not len(source):
            raise UserError(f"the source {name!r} of data holds no samples; accepted are sources with some")
    block = kind_of_order(spec, samples=sum(map(len, sources.values()))) == "block"
    parts = {name: _shuffle(spec, source, block=block, key=hash_seed("order", seed, name, bits=64)) for name, source in sources.items()}
    return Mixture(parts, streams=spec.streams if block else 1, segments=segments, key=hash_seed("mixture", seed, bits=64))


def check_batch(order: Order, *, batch_size: int, start: int) -> None:
    """Raises UserError where the streams of an order do not divide a batch: a row then has no stream of its own."""
    if batch_size % order.streams:
        raise UserError(
            f"data.streams = {order.streams} does not divide train.batch_size = {batch_size}; accepted is a divisor of {batch_size}, "
            "or data.order = exact"
        )
    if start % order.streams:
        raise UserError(
            f"data.streams = {order.streams} does not divide the {start} samples that the run has drawn; accepted is what it was then"
        )


def _shuffle(spec: DataSpec, source: Source, *, block: bool, key: int) -> Shuffle:
    counts = np.asarray(source.counts, np.int64)
    if not block:
        return ExactShuffle(counts, key=key)
    size = spec.block_shards * int(counts.sum()) // max(int(np.count_nonzero(counts)), 1)
    return BlockShuffle(counts, streams=spec.streams, block_samples=max(size, 1), key=key)
