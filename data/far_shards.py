"""Shards from far away in a training run: a cache on this host's disk, filled ahead in the order in which the run will read them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import UserError
from .cache_folder import bytes_on_disk
from .index import Index
from .merges import cache_folder
from .order import Order
from .prefetch import Prefetcher, needs
from .shard_cache import ShardCache
from .source import Source
from .spec import DataSpec
from .storage import is_local

GB = 10**9
SHARE_OF_FREE = 0.5  # of what would be free without the cache


def far_away(source: Source) -> bool:
    """Whether a source has shards that are not on a file system of this host."""
    return isinstance(source, Index) and not all(is_local(shard.url) for shard in source.shards)


def open_cache(spec: DataSpec) -> ShardCache:
    """The host's shard cache: `data.shard_cache`, of `data.shard_cache_gb`. Raises UserError where it cannot be written."""
    folder = Path(spec.shard_cache) if spec.shard_cache else cache_folder() / "shards"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        limit = _share_of_disk(folder) if spec.shard_cache_gb is None else spec.shard_cache_gb * GB
        return ShardCache(folder, int(limit))
    except OSError as error:
        raise UserError(f"data.shard_cache = {folder} cannot be written ({error.strerror}); accepted is a folder that can be") from error


def _share_of_disk(folder: Path) -> float:
    """Half of what is free or taken by the cache: the same at each start, and in each process, however much it holds already."""
    return (shutil.disk_usage(folder).free + bytes_on_disk(folder)) * SHARE_OF_FREE


def through_cache(sources: Mapping[str, Source], cache: ShardCache) -> dict[str, Source]:
    """The same sources, whose shards are read out of `cache` where they are there, else by ranges at their store."""
    return {name: source.through(cache) if isinstance(source, Index) else source for name, source in sources.items()}


def fetch_ahead(
    cache: ShardCache, sources: Mapping[str, Source], *, order: Order, slots: np.ndarray, batch_size: int, start: int
) -> Prefetcher:
    """Begins to fill the cache with what the rows `slots` of the batches from position `start` on will read."""
    streams = np.unique(np.asarray(slots) // (batch_size // order.streams)).tolist()
    shards = [source.shards if isinstance(source, Index) else () for _, source in sorted(sources.items())]
    return Prefetcher(cache, needs(order.uses(streams, start), shards))
