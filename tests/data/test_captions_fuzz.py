"""Captions that are made to be slow: what the mending of text reads is bounded, whatever entities stand in entities."""

import html

import ftfy
import numpy as np
import pytest

from diptych.data.bad import BadSample
from diptych.data.captions import MAX_LETTERS, caption_of
from diptych.data.clean import LETTERS_READ, clip
from diptych.data.sample import Sample
from diptych.data.spec import CaptionSpec, DataSpec

PIECES = [
    "&",
    "＆",
    ";",
    "；",
    "\u037e",
    "amp;",
    "AMP;",
    "#38;",
    "#x26;",
    "#65286;",
    "#59;",
    "lt;",
    "&amp;",
    "&#38;",
    "ï¼†",
    "Ã¶",
    "漢",
    "a b",
    "\n",
]
COUNT = 150


@pytest.fixture
def letters_read(monkeypatch):
    """A list: how many letters each pass over a text has read since it was cleared."""
    read, unescape = [], ftfy.FIXERS["unescape_html"]
    monkeypatch.setitem(ftfy.FIXERS, "unescape_html", lambda text: read.append(len(text)) or unescape(text))
    return read


def nested(random):
    """Up to 2^16 letters in which a few pieces come again and again."""
    few = [PIECES[place] for place in random.integers(len(PIECES), size=random.integers(1, 5))]
    start = "".join(random.choice(PIECES, random.integers(0, 4)))
    return (start + "".join(few) * 40_000)[: int(2 ** random.uniform(3, 16))]


def test_what_is_read_of_a_text_is_bounded(letters_read):
    sums = []
    for number in range(COUNT):
        letters_read.clear()
        clip(nested(np.random.default_rng([4, number])))
        sums.append(sum(letters_read))
    assert max(sums) <= LETTERS_READ
    assert 0 in sums and max(sums) > LETTERS_READ / 100, "both paths are taken"


@pytest.mark.parametrize("piece", ["amp;", "#38;", "AMP;", "#x26;", "#65286;"])
@pytest.mark.parametrize("first", ["&", "＆", "ï¼†"])
def test_entities_in_entities_are_left_where_they_are_too_many(first, piece, letters_read):
    assert clip(first + piece * 16_000).count(";") >= 15_998 and not letters_read
    assert clip(first + piece * 9 + "lt;b") == "<b" and letters_read


def test_up_to_the_limit_text_is_mended_as_open_clip_does(letters_read):
    for text in ("&amp;" * 500, "it&amp;amp;#39;s Ã¶ " * 40, "é &Atilde;&para; " * 60, "漢字&amp;lt;" * 90):
        theirs = " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split()).lower()
        letters_read.clear()
        assert clip(text) == theirs and letters_read


@pytest.mark.parametrize("member", ["txt", "json:made"])
def test_a_text_that_is_too_long_is_no_caption(member):
    def said(text, **caption):
        members = {"txt": text.encode(), "json": b'{"made": "%s"}' % text.encode(), "other": b"short"}
        return caption_of(Sample("a.tar", "0", members), DataSpec(text_key=member, caption=CaptionSpec(**caption)), None)

    assert said("a" * MAX_LETTERS) == "a" * MAX_LETTERS
    with pytest.raises(BadSample, match=f"{member} has more than 65536 letters"):
        said("a" * (MAX_LETTERS + 1))
    assert said("a" * (MAX_LETTERS + 1), sources={member: 0.9, "other": 0.1}) == "short"
