import gzip
import urllib.error
from pathlib import Path

import numpy as np
import pytest

from diptych import UserError
from diptych.data import merges as merges_module
from diptych.data.sentence_piece import train_sentencepiece
from diptych.data.spec import TokenizerSpec
from diptych.data.token_rows import row_lengths
from diptych.data.tokenizers import load_tokenizer

MERGES = Path(__file__).resolve().parents[2] / "../shared/data/text/bpe_simple_vocab_16e6.txt.gz"
CAPTIONS = [
    f"a {size} {colour} {shape} number {n}"
    for n in range(9)
    for size in ("small", "LARGE")
    for colour in ("red", "blue")
    for shape in "xyz"
]


@pytest.fixture(scope="module")
def clip():
    if not MERGES.exists():
        pytest.skip("CLIP's merges are not in ../shared/data")
    return load_tokenizer(TokenizerSpec(path=str(MERGES)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("sp") / "small.model"
    return out, train_sentencepiece(CAPTIONS, vocab_size=80, out=out, seed=0)


def test_clip_ids(clip):
    # From open_clip 3.3.0: SimpleTokenizer()(texts, 10)
    ids = clip(["a photo of a cat", "It's  RED &amp; ½", ""], 10)
    assert ids.dtype == np.int32
    assert ids.tolist() == [
        [49406, 320, 1125, 539, 320, 2368, 49407, 0, 0, 0],
        [49406, 585, 568, 736, 261, 33613, 49407, 0, 0, 0],
        [49406, 49407, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    assert (clip.vocab_size, clip.sot_id, clip.eos_id, clip.pad_id) == (49408, 49406, 49407, 0)


def test_clip_truncation_keeps_the_end(clip):
    assert clip(["a photo of a cat"], 4).tolist() == [[49406, 320, 1125, 49407]]
    assert clip(["a photo"], 4).tolist() == [[49406, 320, 1125, 49407]]


def test_clip_special_words_become_their_ids(clip):
    assert clip.encode("a <end_of_text> b") == [320, 49407, 321]
    assert clip.encode("<<start_of_text>") != clip.encode("< <start_of_text>")


@pytest.mark.parametrize("text", ["plain words 12!", "tab\tand\nline", "a&b", "x" * 500, "naïve 漢字 🦬"])
def test_one_by_one_equals_a_batch(clip, text):
    assert np.array_equal(clip([text, "a", text], 32), np.concatenate([clip([part], 32) for part in (text, "a", text)]))


def test_saved_tokenizers_load_again(clip, trained, tmp_path):
    for kind, tokenizer in (("clip_bpe", clip), ("sentencepiece", trained[1])):
        file = tokenizer.save(tmp_path)
        again = load_tokenizer(TokenizerSpec(kind=kind, path=str(file)))
        assert again.fingerprint == tokenizer.fingerprint
        assert np.array_equal(again(CAPTIONS, 12), tokenizer(CAPTIONS, 12))


def test_plain_merges_are_the_gzipped_ones(clip, tmp_path):
    file = tmp_path / "merges.txt"
    file.write_bytes(gzip.decompress(MERGES.read_bytes()))
    assert load_tokenizer(TokenizerSpec(path=str(file))).fingerprint == clip.fingerprint


def test_sentencepiece_is_trained_alike_each_time(trained, tmp_path):
    out, tokenizer = trained
    again = train_sentencepiece(iter(CAPTIONS), vocab_size=80, out=tmp_path / "again.model", seed=0)
    assert (tmp_path / "again.model").read_bytes() == out.read_bytes() and again.fingerprint == tokenizer.fingerprint
    assert train_sentencepiece(CAPTIONS[:50], vocab_size=80, out=tmp_path / "x", seed=0).fingerprint != tokenizer.fingerprint


def test_sentencepiece_rows(trained):
    tokenizer = trained[1]
    assert (tokenizer.pad_id, tokenizer.eos_id) == (0, 1) and 20 < tokenizer.vocab_size <= 80
    rows = tokenizer(["a small red x", "A SMALL Red X", "a small red x number 1 " * 9], 3)
    assert rows.shape == (3, 3) and rows.dtype == np.int32 and rows.max() < tokenizer.vocab_size
    assert np.array_equal(rows[0], rows[1]) and rows[2, -1] == 1 and 0 not in rows[2]
    wide = tokenizer(["a small red x"], 40)[0]
    end = wide.tolist().index(1)
    assert 2 < end < 39 and not wide[end + 1 :].any() and np.array_equal(wide[:2], rows[0, :2])


def test_lengths_of_rows():
    rows = np.array([[5, 0, 7, 9, 0, 0], [5, 9, 0, 0, 0, 0], [5, 6, 7, 8, 6, 9], [9, 0, 0, 0, 0, 0]], np.int32)
    assert row_lengths(rows, eos_id=9, pad_id=0).tolist() == [4, 2, 6, 1]
    assert row_lengths(np.where(rows == 0, 9, rows), eos_id=9, pad_id=9).tolist()[1:] == [2, 6, 1]


def fails(*_, **__):
    raise urllib.error.URLError("no route")


def test_merges_that_cannot_be_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("DIPTYCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(merges_module.urllib.request, "urlopen", fails)
    with pytest.raises(UserError, match=r"data.tokenizer.path is none, and .* could not be fetched .*no route.*; accepted is the path of"):
        load_tokenizer(TokenizerSpec())


def test_merges_are_fetched_once_and_verified(clip, tmp_path, monkeypatch):
    contents = [b"something else", MERGES.read_bytes()]

    def answer(url, *, timeout):
        return open(write(tmp_path / "answer", contents.pop(0)), "rb")

    monkeypatch.setenv("DIPTYCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(merges_module.urllib.request, "urlopen", answer)
    with pytest.raises(UserError, match="SHA-256 is not that of CLIP's merges"):
        load_tokenizer(TokenizerSpec())
    for _ in range(2):
        assert load_tokenizer(TokenizerSpec()).fingerprint == clip.fingerprint
    assert [file.name for file in (tmp_path / "cache").iterdir()] == [merges_module.NAME]


def write(file, content):
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    ("kind", "content", "words"),
    [
        ("clip_bpe", None, "data.tokenizer.path = .* cannot be read .*; accepted is the path of a file"),
        ("clip_bpe", b"#version\na b\n", "does not hold CLIP's 48894 merges"),
        ("clip_bpe", b"\x1f\x8bbroken", "does not hold CLIP's 48894 merges"),
        ("clip_bpe", b"#version\n" + b"a b\n" * 48894, "does not hold CLIP's 48894 merges"),
        ("clip_bpe", b"#version\n" + b"".join(b"ab%d c\n" % place for place in range(48894)), "does not hold CLIP's 48894 merges"),
        ("sentencepiece", b"junk", "is not a SentencePiece model"),
        ("sentencepiece", b"", "is not a SentencePiece model"),
        ("words", b"", "data.tokenizer.kind = 'words' is unknown; accepted is clip_bpe or sentencepiece or huggingface"),
    ],
)
def test_refusals(tmp_path, kind, content, words):
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=words):
        load_tokenizer(TokenizerSpec(kind=kind, path=str(file)))


def test_sentencepiece_needs_a_path():
    with pytest.raises(
        UserError, match=r"data.tokenizer.path = none does not go with data.tokenizer.kind = sentencepiece; accepted is the path of a model"
    ):
        load_tokenizer(TokenizerSpec(kind="sentencepiece"))
