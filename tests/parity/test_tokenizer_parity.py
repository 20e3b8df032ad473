"""The ids of `clip_bpe` are those of open_clip's SimpleTokenizer."""

import json
import os
import tarfile
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from diptych.data.spec import TokenizerSpec
from diptych.data.tokenizers import load_tokenizer

if os.environ.get("DIPTYCH_PARITY") != "1":
    pytest.skip("DIPTYCH_PARITY is not 1", allow_module_level=True)
open_clip_tokenizer = pytest.importorskip("open_clip.tokenizer", reason="open_clip is not installed")

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"
PIECES = [
    "a photo of",
    "it's",
    "WE'LL",
    "don't",
    "'S",
    "ſ",
    "'ſ",
    "K",
    "İI",
    "ı",
    "ß",
    "é",
    "é",
    "½",
    "①",
    "٣",
    "漢字",
    "한국어",
    "ไทย",
    "🦬",
    "👩‍👩‍👧",
    "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "ﬁ",
    "“q”",
    "…",
]
PIECES += [
    "<start_of_text>",
    "<end_of_text>",
    "<<start_of_text>",
    "<END_OF_TEXT>",
    "&amp;",
    "&amp;lt;b&gt;",
    "<b>",
    "\t",
    "\n\n",
    "\x00",
    "\x1b[31m",
    "\x1c",
    "\x85",
    "\u00a0",
    "\u180e",
    "\u200b",
]
PIECES += [
    "\u2028",
    "\ufeff",
    "\ufffd",
    "\u0301",
    "!",
    "!!!",
    "!?#",
    "1234567",
    "x2y",
    "_",
    "a_b",
    "schÃ¶n",
    "â€™s",
    "ǅ",
    "𝒜",
    "𐐀",
    "\U0001fae8",
    "\u0345",
    "<ſtart_of_text>",
]
# Letters that Python's Unicode tables (14) do not know yet are left out: regex libraries disagree about them.
LETTERS = [chr(code) for code in range(1, 0x3000) if unicodedata.category(chr(code)) != "Cn"]


@pytest.fixture(scope="module")
def merges():
    path = SHARED / "text/bpe_simple_vocab_16e6.txt.gz"
    if not path.exists():
        pytest.skip("CLIP's merges are not in ../shared/data")
    return str(path)


def assert_equal(merges, texts, length):
    ours = load_tokenizer(TokenizerSpec(path=merges))(texts, length)
    theirs = open_clip_tokenizer.SimpleTokenizer()(texts, length).numpy()
    wrong = [(text, a.tolist(), b.tolist()) for text, a, b in zip(texts, ours, theirs) if not (a == b).all()]
    assert not wrong, wrong[:3]


def random_texts(count):
    rng = np.random.default_rng(0)
    for _ in range(count):
        words = rng.choice(PIECES, rng.integers(0, 12))
        letters = [LETTERS[place] for place in rng.integers(0, len(LETTERS), rng.integers(0, 8))]
        yield "".join(part + (" " if rng.random() < 0.5 else "") for part in rng.permutation([*words, *letters]))


def test_random_strings(merges):
    assert_equal(merges, list(random_texts(2000)), 77)


def test_truncation(merges):
    assert_equal(merges, list(random_texts(200)), 8)


def test_each_piece_alone(merges):
    assert_equal(merges, ["", *PIECES], 16)


def test_names_of_emoji_in_all_languages(merges):
    lines = (SHARED / "emoji/concepts.jsonl").read_text("utf-8").splitlines()
    texts = [text for line in lines for text in _strings(json.loads(line))]
    assert len(texts) > 1906
    assert_equal(merges, sorted(set(texts))[::5], 77)


def test_captions_of_groceries(merges):
    with tarfile.open(SHARED / "grocery/grocery-train-00000.tar") as shard:
        texts = {shard.extractfile(member).read().decode() for member in shard if member.name.endswith(".txt")}
    assert_equal(merges, sorted(texts), 77)


def _strings(value):
    if isinstance(value, str):
        return [value]
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for child in children for text in _strings(child)]
