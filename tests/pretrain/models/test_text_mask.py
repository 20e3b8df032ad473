"""Text that looks both ways over its caption, and at no padding."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diptych.data.token_rows import row_lengths
from diptych.pretrain.models.blocks import Compute
from diptych.pretrain.models.text_tower import TextTower, caption_lengths
from diptych.pretrain.spec import TextTowerSpec
from diptych.sharding.axes import Axes

SPEC = TextTowerSpec(depth=2, width=32, heads=4, vocab_size=64, context_length=12, eos_id=63, attention="bidirectional_masked", pad_id=0)
ROWS = np.array([[5, 63, 0, 0, 0, 0, 0, 0], [5, 0, 7, 9, 11, 63, 0, 0], [5, 6, 7, 8, 9, 10, 11, 63]], np.int32)


def tower(spec):
    return TextTower(spec, embed_dim=32, compute=Compute(), rngs=nnx.Rngs(0))


def embedded(spec, rows):
    return tower(spec).embed(jnp.asarray(rows), axes=Axes())


@pytest.mark.parametrize("pad_id", [0, 63])
def test_lengths_are_those_that_the_data_find(pad_id):
    rows = np.where(ROWS == 0, pad_id, ROWS)
    found = caption_lengths(jnp.asarray(rows), pad_id=pad_id, eos_id=63)
    assert found.tolist() == row_lengths(rows, eos_id=63, pad_id=pad_id).tolist() == [2, 6, 8]
    assert caption_lengths(jnp.zeros((1, 8), jnp.int32), pad_id=0, eos_id=63).tolist() == [1]


@pytest.mark.parametrize("pool", ["eos", "cls"])
@pytest.mark.parametrize("pad_id", [0, 63])
def test_padding_has_no_part_in_the_embedding(pool, pad_id):
    spec = dataclasses.replace(SPEC, pool=pool, pad_id=pad_id)
    rows = np.where(ROWS == 0, pad_id, ROWS)
    wide = np.pad(rows, ((0, 0), (0, 4)), constant_values=pad_id)
    np.testing.assert_allclose(embedded(spec, rows), embedded(spec, wide), atol=1e-6)
    seen = dataclasses.replace(spec, attention="bidirectional")
    assert np.abs(embedded(seen, rows) - embedded(seen, wide))[:2].max() > 1e-3, "where padding is seen, it has"


def test_a_caption_is_read_both_ways():
    other = ROWS.copy()
    other[:, 0] = 9
    later = ROWS.copy()
    later[2, 6] = 12
    first = tower(SPEC)(jnp.asarray(ROWS), axes=Axes()).tokens
    assert np.abs(first - tower(SPEC)(jnp.asarray(later), axes=Axes()).tokens)[2, 0].max() > 1e-4
    assert np.abs(embedded(SPEC, ROWS) - embedded(SPEC, other)).max(1).min() > 1e-4


@pytest.mark.parametrize("pool", ["eos", "cls"])
def test_embedding_is_what_the_whole_tower_gives(pool):
    built = tower(dataclasses.replace(SPEC, pool=pool))
    whole = built.project(built(jnp.asarray(ROWS), axes=Axes()).pooled, axes=Axes())
    np.testing.assert_allclose(built.embed(jnp.asarray(ROWS), axes=Axes()), whole, atol=1e-5)
