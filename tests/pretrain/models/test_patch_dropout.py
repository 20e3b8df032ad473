"""Token dropping: which patches a training step reads, and what the tower makes of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diptych.data.patches import to_patches
from diptych.errors import UserError
from diptych.pretrain.check import check
from diptych.pretrain.lowering import trace_towers
from diptych.pretrain.model_flops import model_flops
from diptych.pretrain.models.blocks import Compute
from diptych.pretrain.models.dual_encoder import build_model, unit
from diptych.pretrain.models.image_inputs import PatchSequences
from diptych.pretrain.models.patch_dropout import kept_count, kept_patches
from diptych.pretrain.randomness import step_randomness
from diptych.sharding.axes import Axes
from diptych.sharding.flops import count_products
from diptych.sharding.mesh import abstract_mesh

SLOTS = jnp.arange(6, dtype=jnp.int32)


def dropping(recipe, dropout, **image):
    spec = dataclasses.replace(recipe.model.image, patch_dropout=dropout, depth=1, **image)
    return dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, image=spec))


def noise(count=6, side=32):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype(np.uint8)


def kept(images, *, step=3, slots=SLOTS, dropout=0.5):
    return np.asarray(kept_patches(images, patch_size=8, dropout=dropout, random=step_randomness(0, jnp.int32(step), slots)))


def test_half_of_the_patches_are_kept_each_once_and_drawn_by_step_and_slot():
    rows = kept(jnp.asarray(noise()))
    assert rows.shape == (6, 8) and all(len(set(row)) == 8 for row in rows.tolist())
    assert len({frozenset(row) for row in rows.tolist()}) == 6
    assert (kept(jnp.asarray(noise()), step=4) != rows).any()
    np.testing.assert_array_equal(kept(jnp.asarray(noise())[:2], slots=SLOTS[4:]), rows[4:])
    many = kept(jnp.zeros((400, 32, 32, 3), jnp.uint8), slots=jnp.arange(400))
    shares = np.bincount(many.ravel(), minlength=16) / 400
    assert shares.min() > 0.4 and shares.max() < 0.6  # four standard deviations


@pytest.mark.parametrize(("patches", "dropout", "count"), [(196, 0.5, 98), (49, 0.5, 24), (100, 0.9, 10), (16, 0.99, 1), (16, 0.0, 16)])
def test_how_many_are_kept(patches, dropout, count):
    assert kept_count(patches, dropout) == count


def quick(function):
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True})


def test_the_tower_reads_the_kept_patches_and_nothing_else(tiny_recipe):
    model = build_model(dropping(tiny_recipe(), 0.5).model, image_size=32, compute=Compute(), rngs=nnx.Rngs(0))
    random, tower = step_randomness(0, jnp.int32(3), SLOTS), model.image

    @quick
    def by_hand(images, places):
        whole = tower._embed(images, None, Axes())  # the class token and every patch with its place
        places = jnp.pad(places + 1, ((0, 0), (1, 0)))
        tokens = tower.norm(tower.blocks(jnp.take_along_axis(whole, places[..., None], axis=1), axes=Axes(), mask=None))
        return unit(tower.project(tokens[:, 0], axes=Axes()))

    encode = quick(lambda images: model.encode_image(images, axes=Axes(), random=random))
    images, blind = noise(), noise().reshape(6, 4, 8, 4, 8, 3)
    for row, places in enumerate(kept(jnp.asarray(images)).tolist()):
        for place in set(range(16)) - set(places):
            blind[row, place // 4, :, place % 4] = 7
    found = encode(images)
    np.testing.assert_array_equal(encode(blind.reshape(images.shape)), found)
    np.testing.assert_allclose(found, by_hand(images, kept(jnp.asarray(images))), atol=1e-5)
    assert tower._kept(images, None) is None, "an evaluation reads all patches"


def test_patches_of_any_aspect_are_dropped_alike_and_padding_comes_last(tiny_recipe):
    recipe = dropping(tiny_recipe(), 0.5, pool="map", pool_heads=4)
    model = build_model(recipe.model, image_size=32, compute=Compute(), rngs=nnx.Rngs(0))
    images, random = noise(), step_randomness(0, jnp.int32(3), SLOTS)
    rows = [to_patches(image, patch_size=8, seq_len=16) for image in images]
    sequences = PatchSequences(*(jnp.stack([getattr(row, field) for row in rows]) for field in ("pixels", "yx", "mask")))
    encode = quick(lambda images: model.encode_image(images, axes=Axes(), random=random))
    np.testing.assert_allclose(encode(sequences), encode(images), atol=1e-5)
    short = dataclasses.replace(sequences, mask=jnp.arange(16)[None] < jnp.array([3, 8, 9, 16, 1, 12])[:, None])
    real = np.take_along_axis(np.asarray(short.mask), kept(short), axis=1).sum(1)
    np.testing.assert_array_equal(real, [3, 8, 8, 8, 1, 8])


def test_dropped_patches_cost_no_flops(tiny_recipe):
    mesh = abstract_mesh(replica=1, fsdp=1, tensor=1)
    whole, half = (model_flops(dropping(tiny_recipe(), dropout), mesh) for dropout in (0.0, 0.5))
    towers = [count_products(trace_towers(dropping(tiny_recipe(), dropout), mesh).jaxpr.jaxpr).total() for dropout in (0.0, 0.5)]
    assert towers[0] - towers[1] == whole - half > 0.2 * whole, "a plan's split counts what a training step reads"


@pytest.mark.parametrize("dropout", [1.0, -0.1])
def test_a_share_that_leaves_nothing_is_refused(tiny_recipe, dropout):
    with pytest.raises(UserError, match=rf"model.image.patch_dropout = {dropout} is out of range; accepted is a number from 0 to below 1"):
        check(dropping(tiny_recipe(), dropout))
