"""Whole data sets through the towers: fixed-size global batches over the mesh, embeddings on every host."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from ..sharding.axes import axes_of
from ..sharding.layouts import batch_layout
from .learner import Learner

P = jax.P
Params = Any


@dataclasses.dataclass(frozen=True)
class Rows:
    """`count` rows of one shape and dtype; `read(start, stop)` gives [stop - start, *shape]."""

    count: int
    shape: tuple[int, ...]
    dtype: np.dtype | type
    read: Callable[[int, int], np.ndarray]


def array_rows(array: np.ndarray) -> Rows:
    """The rows of an array that every host has."""
    return Rows(count=len(array), shape=array.shape[1:], dtype=array.dtype, read=lambda start, stop: array[start:stop])


def batch_shards(mesh: jax.sharding.Mesh) -> int:
    """Into how many parts a mesh cuts a batch."""
    return math.prod(mesh.shape[axis] for entry in batch_layout(mesh) for axis in axes_of(entry))


def place(rows: Rows, mesh: jax.sharding.Mesh, *, start: int, size: int) -> jax.Array:
    """Rows [start, start + size) as one global array [size, ...] over the batch axes; what is past the end is zero.

    Each process reads only the rows that its devices hold, and once those that several of them hold.
    """

    @functools.cache
    def block(first: int, last: int) -> np.ndarray:
        values = np.zeros((last - first, *rows.shape), rows.dtype)
        first, last = (min(start + end, rows.count) for end in (first, last))
        if first < last:
            values[: last - first] = rows.read(first, last)
        return values

    def shard(index: tuple[slice, ...] | None) -> np.ndarray:
        assert index is not None
        return block(*index[0].indices(size)[:2])

    sharding = jax.NamedSharding(mesh, batch_layout(mesh))
    return jax.make_array_from_callback((size, *rows.shape), sharding, shard, dtype=rows.dtype)


def replicate(array: np.ndarray, mesh: jax.sharding.Mesh) -> jax.Array:
    """An array that every host has, whole on every device."""
    return jax.make_array_from_callback(array.shape, jax.NamedSharding(mesh, P()), lambda _: array, dtype=array.dtype)


@dataclasses.dataclass(frozen=True)
class Encoders:
    """The compiled forward passes of a learner: one compile each for the life of a run, whatever the data sets.

    Parameters are an argument of every call and never kept, as the training step donates them. Calls are made under `jax.set_mesh`, by all
    processes, in the same order.

    batch_size: rows a batch over all devices; a multiple of the mesh's batch shards.
    """

    mesh: jax.sharding.Mesh
    batch_size: int
    encode_image: Callable[[Params, jax.Array], jax.Array]
    encode_text: Callable[[Params, jax.Array], jax.Array]
    loss: Callable[[Params, Mapping[str, jax.Array]], tuple[jax.Array, Mapping[str, jax.Array]]]

    def images(self, params: Params, images: Rows) -> np.ndarray:
        """uint8 rows [H, W, 3] -> float32[count, E] of unit length, on every host."""
        return self._encode(self.encode_image, params, images)

    def texts(self, params: Params, tokens: np.ndarray) -> np.ndarray:
        """int32[count, T] -> float32[count, E] of unit length, on every host."""
        return self._encode(self.encode_text, params, array_rows(tokens))

    def _encode(self, encode: Callable[[Params, jax.Array], jax.Array], params: Params, rows: Rows) -> np.ndarray:
        """One batch is read while the one before is on the devices."""
        done: list[np.ndarray] = []
        running: jax.Array | None = None
        for start in range(0, rows.count, self.batch_size):
            batch = place(rows, self.mesh, start=start, size=self.batch_size)
            if running is not None:
                done.append(np.asarray(running))
            running = encode(params, batch)
        assert running is not None, "a data set without rows"
        return np.concatenate([*done, np.asarray(running)])[: rows.count]


def make_encoders(learner: Learner, *, batch_size: int) -> Encoders:
    """`batch_size` is raised to the next multiple of the mesh's batch shards: no embedding depends on it."""
    assert isinstance(learner.mesh, jax.sharding.Mesh)
    shards = batch_shards(learner.mesh)

    def everywhere(encode: Callable[[Params, jax.Array], jax.Array]) -> Callable[[Params, jax.Array], jax.Array]:
        return jax.jit(lambda params, rows: jax.sharding.reshard(encode(params, rows), P()))

    return Encoders(
        mesh=learner.mesh,
        batch_size=math.ceil(batch_size / shards) * shards,
        encode_image=everywhere(learner.encode_image),
        encode_text=everywhere(learner.encode_text),
        loss=jax.jit(learner.loss),
    )
