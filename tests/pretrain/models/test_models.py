"""What the towers promise beyond parity with the peers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diptych.pretrain.models.activations import ACTIVATIONS, gelu
from diptych.pretrain.models.blocks import Compute
from diptych.pretrain.models.dual_encoder import build_model
from diptych.pretrain.models.text_tower import end_positions
from diptych.sharding.axes import Axes


def model(recipe, **compute):
    return build_model(recipe.model, image_size=32, compute=Compute(**compute), rngs=nnx.Rngs(0))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivatives_are_those_of_differences(name):
    x, step = jnp.linspace(-6, 6, 49), 1e-2
    slopes = jax.vmap(jax.grad(ACTIVATIONS[name]))(x)
    np.testing.assert_allclose(slopes, (ACTIVATIONS[name](x + step) - ACTIVATIONS[name](x - step)) / (2 * step), atol=2e-4)


def test_exact_gelu_is_jaxs():
    x = jnp.linspace(-8, 8, 1001)
    np.testing.assert_allclose(gelu(x), jax.nn.gelu(x, approximate=False), atol=1e-6)
    gradient = jax.vmap(jax.grad(lambda x: jax.nn.gelu(x, approximate=False)))(x)
    np.testing.assert_allclose(jax.vmap(jax.grad(gelu))(x), gradient, atol=1e-6)


@pytest.mark.parametrize("kind", ["clip", "siglip", "coca"])
def test_embedding_is_what_the_whole_tower_gives(tiny_recipe, random_batch, kind):
    """`embed` leaves out what no one reads of the last layer, and nothing else."""
    built, batch = model(tiny_recipe(kind)), random_batch()
    axes = Axes()
    whole = built.image.project(built.image(batch["image"], axes=axes).pooled, axes=axes)
    np.testing.assert_allclose(built.image.embed(batch["image"], axes=axes), whole, atol=1e-5)
    whole = built.text.project(built.text(batch["text"], axes=axes).pooled, axes=axes)
    np.testing.assert_allclose(built.text.embed(batch["text"], axes=axes), whole, atol=1e-5)


@pytest.mark.parametrize("kind", ["clip", "coca"])
def test_what_follows_the_end_token_changes_no_embedding(tiny_recipe, random_batch, kind):
    built, text = model(tiny_recipe(kind)), random_batch()["text"]
    other = np.where((text == 0), 7, text)
    assert not np.array_equal(text, other)
    expected = built.encode_text(text, axes=Axes())
    np.testing.assert_allclose(built.encode_text(other, axes=Axes()), expected, atol=1e-6)


def test_captions_are_predicted_from_what_came_before(tiny_recipe, random_batch):
    built, batch = model(tiny_recipe("coca")), random_batch()
    later = batch | {"text": batch["text"].copy()}
    later["text"][:, 5] = 9
    hidden, other = (built(rows, needs=frozenset({"hidden"}), axes=Axes())["hidden"] for rows in (batch, later))
    np.testing.assert_allclose(hidden[:, :5], other[:, :5], atol=1e-5)
    assert np.abs(hidden[:, 5:] - other[:, 5:]).max() > 1e-3
    dark = built(batch | {"image": 255 - batch["image"]}, needs=frozenset({"hidden"}), axes=Axes())["hidden"]
    assert np.abs(hidden - dark).max() > 1e-3, "the decoder does not see the image"


def test_unrolled_layers_and_rematerialisation_change_nothing(tiny_recipe, random_batch):
    batch = random_batch()
    plain = model(tiny_recipe()).encode_image(batch["image"], axes=Axes())
    for compute in ({"scan_unroll": 0}, {"remat": "full"}, {"remat": "dots", "scan_unroll": 2}):
        np.testing.assert_allclose(model(tiny_recipe(), **compute).encode_image(batch["image"], axes=Axes()), plain, atol=1e-6)


def test_bfloat16_towers_give_float32_unit_vectors(tiny_recipe, random_batch):
    outputs = model(tiny_recipe(), dtype=jnp.bfloat16)(random_batch(), needs=frozenset({"image_embedding", "text_embedding"}), axes=Axes())
    for value in outputs.values():
        assert value.dtype == jnp.float32
        np.testing.assert_allclose(jnp.linalg.norm(value, axis=-1), 1.0, atol=1e-5)


def test_a_caption_without_an_end_token_ends_at_its_last_place():
    tokens = jnp.array([[5, 9, 9, 0], [5, 6, 7, 8], [9, 5, 5, 5]])
    assert end_positions(tokens, 9).tolist() == [1, 3, 0]
