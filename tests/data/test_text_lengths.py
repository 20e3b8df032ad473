"""Batches whose captions are cut to a length that all hosts know without talking."""

import numpy as np
import pytest

from diptych.data.index import index_shards
from diptych.data.lengths import TextLengths, caption_lengths
from diptych.data.order import Order
from diptych.data.token_rows import row_lengths

LENGTH = 16
LENGTHS = {"text_lengths": (4, 6, 8, 12, 14, LENGTH), "threads": 3}
BROKEN = {3: {"png": b"no image"}, 11: {"txt": None}, 20: {"png": None}, 30: {"png": b""}}


@pytest.mark.parametrize("bad", [{}, BROKEN])
def test_hosts_agree_on_the_length_without_talking(batches, shards, words, bad, assert_same, global_batches):
    patterns = shards(bad=bad)
    whole = batches(patterns, 25, **LENGTHS)
    assert len({batch["text"].shape[1] for batch in whole}) > 1
    assert_same(global_batches(patterns, 25, ([0, 3], [1, 2, 4], [5, 6, 7]), **LENGTHS), whole)
    for batch in whole:
        assert (row_lengths(batch["text"], eos_id=words.eos_id, pad_id=words.pad_id) <= batch["text"].shape[1]).all()
        assert (batch["text"] == words.eos_id).any(axis=1).all()


def test_length_is_the_smallest_that_holds_the_longest_caption(batches, shards):
    short = {number: {"txt": b"a b" if number < 39 else b"a b c d e"} for number in range(40)}
    widths = [batch["text"].shape[1] for batch in batches(shards(bad=short), 5, **LENGTHS)]
    assert sorted(widths) == [4, 4, 4, 4, 6]
    full = [batch["text"] for batch in batches(shards(bad=short), 5)]
    for wide, cut in zip(full, batches(shards(bad=short), 5, **LENGTHS)):
        assert np.array_equal(wide[:, : cut["text"].shape[1]], cut["text"])


def test_substitutes_keep_the_length_of_the_bad_sample(batches, shards, words):
    texts = {number: {"txt": b"a b c d e f g h i" if number < 6 else b"a b"} for number in range(40)}
    broken = {number: text | ({"png": b""} if number > 20 else {}) for number, text in texts.items()}
    whole, seen = (batches(shards(bad=bad), 20, max_bad_fraction=1.0, **LENGTHS) for bad in (texts, broken))
    assert {batch["text"].shape[1] for batch in whole} == {4, 12}
    for good, replaced in zip(whole, seen):
        assert good["text"].shape == replaced["text"].shape
        assert (replaced["text"] == words.eos_id).any(axis=1).all()


@pytest.mark.parametrize(("sample", "instead_of", "fits"), [(1, 0, True), (2, 0, False), (0, 2, True), (3, 2, False), (2, 3, True)])
def test_substitutes_are_of_the_same_class_or_shorter(sample, instead_of, fits):
    lengths = TextLengths(np.array([3, 4, 5, 16]), choices=(4, 8), context_length=16, order=Order(0, 4))
    assert lengths.fits(sample, instead_of=instead_of) is fits


def test_caption_lengths(shards, words):
    index = index_shards(shards(bad={0: {"txt": b"a b c"}, 1: {"txt": None}, 2: {"txt": b"x " * 40}, 3: {"txt": b""}}), setting="x")
    lengths = caption_lengths(index, text_key="txt", tokenizer=words, context_length=LENGTH)
    assert lengths.dtype == np.uint16 and lengths[:4].tolist() == [4, LENGTH, LENGTH, 1]
