"""From host batches to global arrays on the devices, one batch ahead of the step."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import jax
import numpy as np

from ..sharding.layouts import batch_layout

HostBatch = Mapping[str, np.ndarray]


def local_slots(mesh: jax.sharding.Mesh, batch_size: int) -> np.ndarray:
    """The places in the global batch that this process feeds, sorted; read off the sharding: mesh order may differ from process order."""
    rows = jax.NamedSharding(mesh, batch_layout(mesh)).addressable_devices_indices_map((batch_size,))
    return np.unique(np.concatenate([np.arange(batch_size)[index] for index in rows.values()]))


class Feed:
    """Iterates over global batches; `waited` is the time in seconds that the loop stood still for data."""

    def __init__(self, stream: Iterator[HostBatch], mesh: jax.sharding.Mesh, *, batch_size: int):
        self._stream, self._batch_size = stream, batch_size
        self._sharding = jax.NamedSharding(mesh, batch_layout(mesh))
        self.waited = 0.0
        self._ahead: dict[str, jax.Array] | None = None

    def __next__(self) -> dict[str, jax.Array]:
        ready = self._ahead if self._ahead is not None else self._fetch()
        self._ahead = None
        return ready

    def prefetch(self) -> None:
        """Brings the next batch to the devices; to be called after a step is dispatched, so that the copy runs beside it."""
        self._ahead = self._fetch()

    def _fetch(self) -> dict[str, jax.Array]:
        start = time.perf_counter()
        batch = next(self._stream)
        self.waited += time.perf_counter() - start
        return {name: self._place(rows) for name, rows in batch.items()}

    def _place(self, rows: np.ndarray) -> jax.Array:
        return jax.make_array_from_process_local_data(self._sharding, rows, (self._batch_size, *rows.shape[1:]))
