"""Images of several sizes, and as sequences of patches, through the image tower."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from diptych.data.patches import fit_patches, to_patches
from diptych.pretrain.models.blocks import Compute
from diptych.pretrain.models.dual_encoder import build_model
from diptych.pretrain.models.image_inputs import PatchSequences, position_weights
from diptych.sharding.axes import Axes


def encoder(recipe, pool):
    image = dataclasses.replace(recipe.model.image, pool=pool, pool_queries=8, pool_heads=4)
    model = build_model(dataclasses.replace(recipe.model, image=image), image_size=32, compute=Compute(), rngs=nnx.Rngs(0))
    return jax.jit(lambda images: model.encode_image(images, axes=Axes()))


def pictures(sizes, seed=0):
    random = np.random.default_rng(seed)
    return [Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8)) for width, height in sizes]


def sequences(images, *, seq_len):
    found = [to_patches(fit_patches(image, patch_size=8, seq_len=16), patch_size=8, seq_len=seq_len) for image in images]
    stacked = [jnp.stack([getattr(one, field) for one in found]) for field in ("pixels", "yx", "mask")]
    return PatchSequences(*stacked)


@pytest.mark.parametrize("pool", ["cls", "gap", "map", "attentional"])
def test_patches_of_a_square_image_are_that_image(tiny_recipe, pool):
    images, encode = pictures([(32, 32)] * 3), encoder(tiny_recipe(), pool)
    whole = encode(jnp.stack([np.asarray(image) for image in images]))
    np.testing.assert_allclose(encode(sequences(images, seq_len=16)), whole, atol=1e-5)


@pytest.mark.parametrize("pool", ["cls", "gap", "map", "attentional"])
def test_padding_changes_nothing(tiny_recipe, pool):
    images, encode = pictures([(32, 32), (70, 20), (9, 50)]), encoder(tiny_recipe(), pool)
    tight, padded = sequences(images, seq_len=16), sequences(images, seq_len=23)
    assert not tight.mask.all()
    noisy = dataclasses.replace(padded, pixels=jnp.where(padded.mask[..., None], padded.pixels, 99))
    np.testing.assert_allclose(encode(noisy), encode(tight), atol=1e-5)


def test_the_aspect_is_seen(tiny_recipe):
    [image], encode = pictures([(16, 16)]), encoder(tiny_recipe(), "gap")
    wide, tall = (sequences([image.resize(size)], seq_len=16) for size in ((64, 16), (16, 64)))
    assert np.abs(encode(wide) - encode(tall)).max() > 1e-3


@pytest.mark.parametrize(("height", "width"), [(4, 4), (3, 7), (9, 2), (12, 12), (1, 1)])
def test_positions_are_resized_as_jax_resizes_images(height, width):
    table = np.random.default_rng(0).normal(size=(5, 5, 6)).astype(np.float32)
    wanted = jax.image.resize(table, (height, width, 6), "bilinear", antialias=True).reshape(-1, 6)
    square = position_weights(jnp.zeros((1, height * 8, width * 8, 3), jnp.uint8), grid=5, patch_size=8)
    np.testing.assert_allclose(square @ table.reshape(25, 6), wanted, atol=1e-5)
    picture = Image.new("RGB", (width * 8, height * 8))
    patches = to_patches(picture, patch_size=8, seq_len=height * width + 3)
    one = PatchSequences(*(jnp.asarray(value)[None] for value in (patches.pixels, patches.yx, patches.mask)))
    weights = position_weights(one, grid=5, patch_size=8)[0, : height * width]
    np.testing.assert_allclose(weights @ table.reshape(25, 6), wanted, atol=1e-5)


def test_the_tables_own_grid_is_not_resized():
    assert position_weights(jnp.zeros((1, 40, 40, 3), jnp.uint8), grid=5, patch_size=8) is None
