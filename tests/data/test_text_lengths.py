"""The length to which a batch's captions may be cut."""

import numpy as np
import pytest

from diptych.data.lengths import TextLengths

LENGTH = 16


@pytest.fixture
def lengths(words):
    return TextLengths((12, 4, 8, 20), context_length=LENGTH, eos_id=words.eos_id, pad_id=words.pad_id)


@pytest.mark.parametrize(
    ("captions", "length"), [(["a b"], 4), (["a b c"], 4), (["a", "a b c d"], 8), (["a " * 11], 12), (["a " * 12], 16), ([""], 4)]
)
def test_the_smallest_choice_that_holds_every_caption_and_its_end(lengths, words, captions, length):
    rows = words(captions, LENGTH)
    assert lengths.of(rows) == length
    assert (rows[:, :length] == words.eos_id).any(axis=1).all() and not np.any(rows[:, length:])


def test_captions_that_were_cut_need_the_context_length(lengths, words):
    assert lengths.of(words(["x " * 40], LENGTH)) == LENGTH


def test_hosts_take_the_largest_of_their_lengths(lengths, words):
    rows = words(["a", "a b c d e", "a b", "a b c d e f g h i"], LENGTH)
    assert lengths.of(rows) == max(lengths.of(rows[:2]), lengths.of(rows[2:])) == 12
