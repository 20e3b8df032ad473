"""From host batches to global arrays on the devices, one batch ahead of the step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from ..data.lengths import TextLengths
from ..sharding.layouts import batch_layout
from .idle import Idle


def local_slots(mesh: jax.sharding.Mesh, batch_size: int) -> np.ndarray:
    """The places in the global batch that this process feeds, sorted; read off the sharding: mesh order may differ from process order."""
    rows = jax.NamedSharding(mesh, batch_layout(mesh)).addressable_devices_indices_map((batch_size,))
    return np.unique(np.concatenate([np.arange(batch_size)[index] for index in rows.values()]))


def counted_slots(mesh: jax.sharding.Mesh, batch_size: int) -> np.ndarray:
    """Those of all places in the global batch that this process feeds and none before it does: a job counts what is in each once."""
    lowest = np.full(batch_size, jax.process_count())
    rows = jax.NamedSharding(mesh, batch_layout(mesh)).devices_indices_map((batch_size,))
    for device in mesh.devices.flat:
        lowest[rows[device]] = np.minimum(lowest[rows[device]], device.process_index)
    return np.flatnonzero(lowest == jax.process_index())


class Feed:
    """Iterates over global batches. given: batches that the loop has taken."""

    def __init__(
        self,
        stream: Iterator[Mapping[str, np.ndarray]],
        mesh: jax.sharding.Mesh,
        *,
        batch_size: int,
        lengths: TextLengths | None = None,
        largest: Callable[[int], int] = int,
    ):
        """stream: this process's rows of the global batches. lengths: cuts captions to what the whole batch needs.

        largest: of a number of each process, the largest; all of them call it.
        """
        self._stream, self._batch_size, self._lengths, self._largest = stream, batch_size, lengths, largest
        self._sharding = jax.NamedSharding(mesh, batch_layout(mesh))
        self.given = 0
        self._idle = Idle()
        self._ahead: dict[str, jax.Array] | None = None

    def __next__(self) -> dict[str, jax.Array]:
        ready = self._ahead if self._ahead is not None else self._fetch()
        self._ahead = None
        self.given += 1
        return ready

    @property
    def waited(self) -> float:
        """Seconds in which the devices stood idle for data: a batch that comes while they still work costs nothing."""
        return self._idle.seconds

    def prefetch(self, results: Any) -> None:
        """Brings the next batch to the devices; to be called after a step is dispatched, with its `results`, so that it runs beside it."""
        self._idle.busy(results)
        self._ahead = self._fetch()

    def _fetch(self) -> dict[str, jax.Array]:
        with self._idle.waiting():
            batch = next(self._stream)
        rows = {name: value for name, value in batch.items() if name != "bad"}  # counted on the host: see BadTotal
        if self._lengths is not None:
            rows["text"] = np.ascontiguousarray(batch["text"][:, : self._largest(self._lengths.of(batch["text"]))])
        return {name: self._place(value) for name, value in rows.items()}

    def _place(self, rows: np.ndarray) -> jax.Array:
        return jax.make_array_from_process_local_data(self._sharding, rows, (self._batch_size, *rows.shape[1:]))
