"""The handle through which per-device code speaks to the mesh."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .spec import DATA_AXES

P = jax.P
SUBLANES = 8  # rows of a TPU's tile
AnyMesh = jax.sharding.Mesh | jax.sharding.AbstractMesh


def axes_of(entry: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The mesh axes in one entry of a layout."""
    return (entry,) if isinstance(entry, str) else entry or ()


@dataclasses.dataclass(frozen=True)
class Axes:
    """What a tower or an objective may ask of the mesh.

    `Axes()` is the identity everywhere, so that the same code on one device is the dense definition; `mesh_axes(mesh)` is the handle
    for code inside a `jax.shard_map` over (replica, fsdp, tensor).

    data: axes that shard the batch. fsdp: axis that shards parameters. tensor: axis that shards heads, hidden units and the vocabulary.
    """

    data: tuple[str, ...] = ()
    fsdp: str | None = None
    tensor: str | None = None

    def vary(self, params: Any) -> Any:
        """Says before any use that each device of the batch will have a gradient of its own.

        The sum over replicas is then taken once a step, of the shard, after the reduce-scatter over fsdp; without it the transpose sums
        the whole gathered gradient over replicas in every layer.
        """

        def one(w: jax.Array) -> jax.Array:
            missing = tuple(axis for axis in self.data if axis not in jax.typeof(w).manual_axis_type.varying)
            return lax.pcast(w, missing, to="varying") if missing else w

        return jax.tree.map(one, params) if self.data else params

    def whole(self, weights: Any, layouts: Any, *, dtype: jnp.dtype) -> Any:
        """Weights, gathered over fsdp wherever their layout shards them; its transpose is a reduce-scatter.

        Matrices in `dtype`: the cast comes first, which halves the bytes on the wire in bfloat16. Vectors (norms and biases) as they are.
        What travels has the sharded dimension in front, and whole tiles of rows: see `_gathered`.
        """

        def one(w: jax.Array, layout: P) -> jax.Array:
            w = w.astype(dtype) if w.ndim > 1 else w
            sharded = [dimension for dimension, axes in enumerate(layout) if self.fsdp in axes_of(axes)]
            if not (self.fsdp and sharded):
                return w
            rows = jnp.swapaxes(w, 0, sharded[0])
            return jnp.swapaxes(self._gathered(rows), 0, sharded[0])

        return jax.tree.map(one, weights, layouts)

    def _gathered(self, rows: jax.Array) -> jax.Array:
        """[d / fsdp, ...] -> [d, ...].

        A TPU lays 8 rows of 128 lanes to a tile. Where shards are no whole number of tiles high, libtpu makes an all-reduce of the whole of
        the gradient's reduce-scatter (So400m over 64: 18 rows): they travel as 8 long rows under an axis of their own.
        """
        if len(rows) % SUBLANES == 0 or rows.size % SUBLANES:
            return lax.all_gather(rows, self.fsdp, axis=0, tiled=True)
        tiles = lax.all_gather(rows.reshape(SUBLANES, -1), self.fsdp, axis=0, tiled=False)
        return tiles.reshape(-1, *rows.shape[1:])

    def total(self, y: jax.Array) -> jax.Array:
        """The sum over tensor shards that ends attention and MLP."""
        return lax.psum(y, self.tensor) if self.tensor else y

    def tensor_max(self, y: jax.Array) -> jax.Array:
        """The largest over tensor shards; no gradient passes."""
        y = lax.stop_gradient(y)
        return lax.pmax(y, self.tensor) if self.tensor else y

    def tensor_index(self) -> jax.Array | int:
        """Which tensor shard this device holds."""
        return lax.axis_index(self.tensor) if self.tensor else 0

    def all(self, z: jax.Array) -> jax.Array:
        """Rows of the whole batch, [b, ...] -> [B, ...]; its transpose is `home`, and this device's begin at `first_row`.

        One axis after the other, as libtpu makes an all-reduce of the whole of a reduce-scatter over two; the outer first, so that a row
        goes to another slice or node once. Rows stay as they arrive, those of replicas beside each other: put into the order of the mesh
        they would be a copy, and so would their gradient (32,768 x 768 in float32 on 4 x 4 chips: 216 MiB of temporaries, without 192).
        """
        for axis in self.data:
            z = lax.all_gather(z, axis, tiled=True)
        return z

    def sum(self, x: jax.Array) -> jax.Array:
        """The sum over the devices that share the batch."""
        return lax.psum(x, self.data) if self.data else x

    def max(self, x: jax.Array) -> jax.Array:
        """The largest over the devices that share the batch; no gradient passes."""
        x = lax.stop_gradient(x)
        return lax.pmax(x, self.data) if self.data else x

    def home(self, x: jax.Array) -> jax.Array:
        """The sum over the devices that share the batch, of rows as in `all`, [B, ...] on each -> this device's rows, [b, ...]."""
        for axis in reversed(self.data):
            x = lax.psum_scatter(x, axis, tiled=True)
        return x

    def next(self, x: jax.Array) -> jax.Array:
        """What the device before this one holds, on a ring of the devices that share the batch."""
        count = self.count()
        return lax.ppermute(x, self.data, [(i, (i + 1) % count) for i in range(count)]) if self.data else x

    def count(self) -> int:
        """How many devices share the batch."""
        return lax.axis_size(self.data) if self.data else 1

    def first_row(self, rows: int) -> jax.Array | int:
        """The place among those of `all` of this device's first row, where each device holds `rows`."""
        return lax.axis_index(self.data[::-1]) * rows if self.data else 0


def mesh_axes(mesh: AnyMesh) -> Axes:
    """The handle for code inside a `jax.shard_map` over `mesh`: an axis of size one is left out, and with it its no-op collectives.

    On one device the copies behind them cost 2% of a small model's step.
    """
    present = wide_axes(mesh)
    return Axes(
        data=tuple(axis for axis in DATA_AXES if axis in present),
        fsdp="fsdp" if "fsdp" in present else None,
        tensor="tensor" if "tensor" in present else None,
    )


def wide_axes(mesh: AnyMesh) -> tuple[str, ...]:
    """The axes of a mesh that have more than one device."""
    return tuple(axis for axis, size in mesh.shape.items() if size > 1)
