"""Gathering weights over fsdp, whatever the height of a shard; rows of the batch over all that share it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diptych.sharding.axes import mesh_axes
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec

P = jax.P
FSDP = 4


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((8 * FSDP, 6), P("fsdp", None)),  # whole tiles of rows
        ((2 * FSDP, 12), P("fsdp", None)),  # none: travels as 8 long rows
        ((12, 6 * FSDP), P(None, "fsdp")),
        ((3 * FSDP, 5), P("fsdp", None)),  # nor could it be
        ((2 * FSDP,), P("fsdp")),
    ],
)
def test_shards_are_gathered_in_their_order_and_gradients_come_home(shape, layout):
    """Against the array itself: its value, and of 4 devices' gradients each one's shard of the sum."""
    mesh = make_mesh(MeshSpec(replica=1, fsdp=FSDP, tensor=1))
    axes = mesh_axes(mesh)
    weight = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    factors = np.random.default_rng(0).integers(-9, 9, (FSDP, *shape)).astype(np.float32)

    def local(weight, factor):
        whole = axes.whole(axes.vary(weight), layout, dtype=jnp.float32)
        return axes.sum((whole * factor[0]).sum()), whole[None]

    with jax.set_mesh(mesh):
        sharded = jax.shard_map(local, in_specs=(layout, P("fsdp")), out_specs=(P(), P("fsdp")))
        gradient, whole = jax.jit(jax.grad(sharded, has_aux=True))(*map(jax.device_put, (weight, factors), (layout, P("fsdp"))))
    assert all(np.array_equal(each, weight) for each in whole)
    assert np.array_equal(gradient, factors.sum(0))


@pytest.mark.parametrize(("replica", "fsdp"), [(2, 4), (4, 2), (8, 1)])
def test_rows_of_the_batch_are_gathered_in_one_order_and_their_sums_come_home(replica, fsdp):
    """`home` is the transpose of `all`, `first_row` says where rows are in it, and neither asks for a sum of the whole, nor for a copy."""
    mesh = make_mesh(MeshSpec(replica=replica, fsdp=fsdp, tensor=1))
    axes, rows = mesh_axes(mesh), P(("replica", "fsdp"))
    batch = np.arange(8 * 3 * 5, dtype=np.float32).reshape(24, 5)
    given = np.random.default_rng(0).integers(-9, 9, (8, 24, 5)).astype(np.float32)

    def local(batch, given):
        gathered, transpose = jax.vjp(axes.all, batch)
        own = jax.lax.dynamic_slice_in_dim(gathered, axes.first_row(len(batch)), len(batch))
        return gathered[None], own, transpose(given[0])[0], axes.home(given[0]), axes.home(given[0, :, 0])

    with jax.set_mesh(mesh):
        step = jax.jit(jax.shard_map(local, in_specs=(rows, rows), out_specs=rows))
        arguments = tuple(jax.device_put(array, rows) for array in (batch, given))
        gathered, own, transposed, home, vector = jax.device_get(step(*arguments))
        text = step.lower(*arguments).as_text()
    order = np.asarray(gathered[0, :, 0]).astype(int) // 5  # the number of each row
    assert sorted(order) == list(range(24)) and all(np.array_equal(each, batch[order]) for each in gathered)
    sums = np.empty_like(batch)
    sums[order] = given.sum(0)
    assert np.array_equal(own, batch)
    assert np.array_equal(transposed, sums) and np.array_equal(home, sums) and np.array_equal(vector, sums[:, 0])
    assert "all_reduce" not in text and "stablehlo.transpose" not in text and text.count('"stablehlo.reduce_scatter"') == 3 * len(axes.data)
