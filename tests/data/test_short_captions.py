import numpy as np
import pytest

from diptych.data.short_captions import ShortCaptions
from diptych.data.spec import TextScheduleSpec
from diptych.data.token_rows import token_rows


class Letters:
    """Letters as tokens, as CLIP (start 1, end 2, padding 0) or as SigLIP (no start, end and padding 2)."""

    vocab_size, eos_id = 200, 2

    def __init__(self, start):
        self.start, self.pad_id = start, 0 if start else 2

    def __call__(self, texts, context_length):
        rows = [[*self.start, *map(ord, text), 2] for text in texts]
        return token_rows(rows, length=context_length, eos_id=2, pad_id=self.pad_id)


CLIP, SIGLIP = Letters([1]), Letters([])
TEXT = "abcdefghij"


def shortened(tokenizer, reduction, *, text=TEXT, seed=0, step=0, length=6):
    schedule = TextScheduleSpec(length=length, reduction=reduction, until=5)
    short = ShortCaptions(schedule, tokenizer, full=16)
    row = short(tokenizer([text], 16)[0], step=step, random=lambda: np.random.default_rng(seed))
    assert row.dtype == np.int32
    return row.tolist()


def words(row, tokenizer):
    begin = len(tokenizer.start)
    assert row[:begin] == tokenizer.start and row[-1] == 2
    return "".join(map(chr, row[begin:-1]))


@pytest.mark.parametrize("tokenizer", [CLIP, SIGLIP], ids=["start", "no start"])
def test_what_stays_of_a_long_caption(tokenizer):
    room = 5 - len(tokenizer.start)
    assert words(shortened(tokenizer, "truncate"), tokenizer) == TEXT[:room]
    blocks = {words(shortened(tokenizer, "block", seed=seed), tokenizer) for seed in range(200)}
    assert blocks == {TEXT[start : start + room] for start in range(len(TEXT) - room + 1)}
    drawn = [words(shortened(tokenizer, "random", seed=seed), tokenizer) for seed in range(400)]
    assert all(len(set(text)) == room and text == "".join(sorted(text)) for text in drawn)
    shares = [sum(letter in text for text in drawn) / 400 for letter in TEXT]
    assert min(shares) > room / 10 - 0.1 and max(shares) < room / 10 + 0.1


def test_a_caption_that_fits_is_whole_and_padded():
    assert shortened(CLIP, "random", text="ab") == [1, 97, 98, 2, 0, 0]
    assert shortened(SIGLIP, "block", text="ab") == [97, 98, 2, 2, 2, 2]
    assert shortened(CLIP, "block", text="abcd") == [1, 97, 98, 99, 100, 2]


def test_captions_are_whole_from_a_step_on():
    assert len(shortened(CLIP, "truncate", step=4)) == 6
    assert shortened(CLIP, "truncate", step=5) == CLIP([TEXT], 16)[0].tolist()


def test_a_caption_that_the_context_cuts_is_shortened_out_of_what_it_holds():
    assert words(shortened(CLIP, "truncate", text="x" * 40), CLIP) == "xxxx"
