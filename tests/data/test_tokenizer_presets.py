"""Presets and Hugging Face's tokenizers, on small vocabularies made here; tests/parity compares them with their references."""

import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, processors

from diptych import UserError
from diptych.data.sentence_piece import train_sentencepiece
from diptych.data.spec import TokenizerSpec
from diptych.data.tokenizer_presets import KINDS, PRESETS, check_tokenizer_spec
from diptych.data.tokenizers import load_tokenizer

MERGES = Path(__file__).resolve().parents[2] / "../shared/data/text/bpe_simple_vocab_16e6.txt.gz"
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "cat", "##s", "!", "e"]
GEMMA = ["<pad>", "<eos>", "<bos>", "<unk>", "a", "c", "t", "▁", "ca", "cat", "▁cat"]
CAPTIONS = [f"a {size} {colour} {shape}" for size in ("small", "large") for colour in ("red", "blue") for shape in "xyz"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """vocab.txt and bert.json, gemma.json, words.json (a word an id, nothing around it), pieces.model."""
    folder = tmp_path_factory.mktemp("tokenizers")
    (folder / "vocab.txt").write_text("\n".join(BERT) + "\n")
    bert = tokenizers.Tokenizer(models.WordPiece({word: place for place, word in enumerate(BERT)}, unk_token="[UNK]"))
    bert.save(str(folder / "bert.json"))
    merges = [("c", "a"), ("ca", "t"), ("▁", "cat")]
    gemma = tokenizers.Tokenizer(models.BPE({word: place for place, word in enumerate(GEMMA)}, merges, unk_token="<unk>"))
    gemma.normalizer = tokenizers.normalizers.Replace(" ", "▁")
    gemma.add_special_tokens(GEMMA[:4])
    gemma.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    gemma.save(str(folder / "gemma.json"))
    words = tokenizers.Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "cat": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(folder / "bare.json"))
    words.add_special_tokens(["<|endoftext|>", "<pad>"])
    words.enable_truncation(2)
    words.save(str(folder / "words.json"))
    train_sentencepiece(CAPTIONS, vocab_size=80, out=folder / "pieces.model", seed=0)
    return folder


@pytest.fixture(scope="module")
def load(folder):
    """load(file, preset): the tokenizer in a file of `folder`."""

    def make(file, preset=None):
        kind = "sentencepiece" if file.endswith("model") else "huggingface"
        return load_tokenizer(TokenizerSpec(kind=kind, path=str(folder / file), preset=preset))

    return make


def test_every_preset_goes_with_a_kind_that_there_is():
    assert {kind for kinds in PRESETS.values() for kind in kinds} == set(KINDS)


@pytest.mark.parametrize("file", ["vocab.txt", "bert.json"])
def test_bert(load, file):
    rows = load(file, "bert")(["A réd CATS!", "[SEP] dog", "cat " * 9], 6)
    assert rows.tolist() == [[2, 5, 6, 7, 8, 3], [2, 3, 1, 3, 0, 0], [2, 7, 7, 7, 7, 3]]
    assert rows.dtype == np.int32 and (load(file, "bert").eos_id, load(file, "bert").pad_id, load(file, "bert").vocab_size) == (3, 0, 11)


def test_a_tokenizer_json_as_it_is(load):
    words = load("words.json")
    assert (words.eos_id, words.pad_id, words.vocab_size) == (3, 4, 5)
    assert words(["a cat", "a dog <pad> <|endoftext|>", "a a a a"], 4).tolist() == [[1, 2, 3, 4], [1, 0, 4, 3], [1, 1, 1, 3]]


@pytest.mark.parametrize("direction", ["left", "right"])
def test_padding_and_cutting_of_the_file_have_no_part_in_it(load, folder, direction):
    chat = tokenizers.Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "cat": 2}, unk_token="<unk>"))
    chat.pre_tokenizer = pre_tokenizers.Whitespace()
    chat.add_special_tokens(["<s>", "<|im_end|>", "<|endoftext|>"])
    chat.post_processor = processors.TemplateProcessing(single="<s> $A <|im_end|>", special_tokens=[("<s>", 3), ("<|im_end|>", 4)])
    chat.save(str(folder / "chat.json"))
    chat.enable_padding(length=16, pad_id=5, pad_token="<|endoftext|>", direction=direction)
    chat.enable_truncation(3)
    chat.save(str(folder / "padded.json"))
    found = load("padded.json")
    assert (found.eos_id, found.pad_id) == (4, 5) and load("chat.json").eos_id == 4
    assert found(["a cat", "a cat a cat a"], 6).tolist() == [[3, 1, 2, 4, 5, 5], [3, 1, 2, 1, 2, 4]]


@pytest.mark.parametrize("kind", ["WordLevel", "WordPiece", "Unigram"])
@pytest.mark.parametrize("vocabulary", ["small", "with the probes"])
def test_a_tokenizer_without_an_unknown_token_is_refused(load, folder, kind, vocabulary):
    words = ["[SEP]", "cat"] if vocabulary == "small" else ["[SEP]", "cat", "a", "1", "!"]
    ids = {word: place for place, word in enumerate(words)}
    model = (
        models.Unigram([(word, -1.0) for word in words], None, False)
        if kind == "Unigram"
        else getattr(models, kind)(ids, unk_token="[UNK]")
    )
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["[SEP]"])
    tokenizer.save(str(folder / "closed.json"))
    with pytest.raises(
        UserError, match=r"data.tokenizer.path = '.*closed.json' cannot encode all text \(.*\); accepted is one with an unk"
    ):
        load("closed.json")


def test_siglip2_of_a_tokenizer_json(load):
    plain, preset = load("gemma.json"), load("gemma.json", "siglip2")
    assert plain(["a Cat"], 8).tolist() == [[2, 4, 7, 3, 4, 6, 1, 0]]
    assert preset(["a Cat", "cat <eos>", "cat " * 9], 4).tolist() == [[4, 10, 1, 0], [9, 7, 1, 1], [9, 10, 10, 1]]
    assert (preset.eos_id, preset.pad_id) == (1, 0) and preset.fingerprint != plain.fingerprint


def test_siglip(load):
    plain, preset = load("pieces.model"), load("pieces.model", "siglip")
    text, spelled = preset(["A small, RED-x"], 12), preset(["a small</s>"], 12)
    assert np.array_equal(text, preset(["  a small\nredx "], 12)) and preset.pad_id == preset.eos_id == 1
    assert text[0, -1] == 1 and (text[0] == 1).sum() > 1
    assert np.array_equal(spelled, preset(["a small"], 12)), "a text that ends itself is not ended again"
    cut = preset(["a small red x"], 4)
    assert cut[0, -1] == 1 and np.array_equal(cut[0, :3], preset(["a small red x"], 12)[0, :3])
    assert preset.fingerprint != plain.fingerprint != load("pieces.model", "siglip2").fingerprint


def test_siglip2_of_pieces(load):
    preset = load("pieces.model", "siglip2")
    assert preset(["A SMALL"], 20).tolist() == preset(["a small"], 20).tolist() and preset.pad_id == 0
    ids = preset(["a small</s>a"], 20)[0].tolist()
    assert ids.count(1) == 2 and ids[: ids.index(1)] == preset.encode("a small")


def test_presets_of_clips_merges():
    if not MERGES.exists():
        pytest.skip("CLIP's merges are not in ../shared/data")
    open_clip, same, transformers = (
        load_tokenizer(TokenizerSpec(path=str(MERGES), preset=name)) for name in (None, "clip_open_clip", "clip_hf")
    )
    assert same.fingerprint == open_clip.fingerprint != transformers.fingerprint
    texts = ["it’s &amp; Ｃａｔ", "a <|endoftext|>", "a <end_of_text>"]
    for row, other in zip(open_clip(texts, 12), transformers(texts, 12)):
        assert row[-1] == 0 and other[-1] == 49407 and not np.array_equal(row[row > 0], other[: (row > 0).sum()])
    # From transformers 5.23: CLIPTokenizer(padding="max_length", max_length=8)
    assert transformers(["a photo of a cat"], 8).tolist() == [[49406, 320, 1125, 539, 320, 2368, 49407, 49407]]
    assert open_clip(["a photo of a cat"], 8).tolist() == [[49406, 320, 1125, 539, 320, 2368, 49407, 0]]


@pytest.mark.parametrize("preset", ["clip_open_clip", "clip_hf"])
def test_clips_fingerprint_does_not_ask_the_machine(preset, tmp_path, monkeypatch):
    if not MERGES.exists():
        pytest.skip("CLIP's merges are not in ../shared/data")
    found = load_tokenizer(TokenizerSpec(path=str(MERGES), preset=preset))
    compress, first = gzip.compress, found.save(make_folder(tmp_path / "a"))
    monkeypatch.setattr(gzip, "compress", lambda data, **options: compress(data, compresslevel=1, **options))
    other = load_tokenizer(TokenizerSpec(path=str(MERGES), preset=preset))
    second = other.save(make_folder(tmp_path / "b"))
    assert first.read_bytes() != second.read_bytes()
    again = [load_tokenizer(TokenizerSpec(path=str(file), preset=preset)) for file in (first, second)]
    assert {tokenizer.fingerprint for tokenizer in (found, other, *again)} == {found.fingerprint}


def make_folder(path):
    path.mkdir()
    return path


FILES = [("vocab.txt", "bert"), ("bert.json", "bert"), ("gemma.json", "siglip2"), ("words.json", None), ("pieces.model", "siglip")]


@pytest.mark.parametrize(("file", "preset"), FILES)
def test_saved_tokenizers_load_again(load, folder, tmp_path, file, preset):
    tokenizer = load(file, preset)
    saved = tokenizer.save(tmp_path)
    kind = "sentencepiece" if file.endswith("model") else "huggingface"
    again = load_tokenizer(TokenizerSpec(kind=kind, path=str(saved), preset=preset))
    assert again.fingerprint == tokenizer.fingerprint and saved.read_bytes() == (folder / file).read_bytes()
    sent = pickle.loads(pickle.dumps(tokenizer))  # to a worker process
    for other in (again, sent):
        assert np.array_equal(other(CAPTIONS, 9), tokenizer(CAPTIONS, 9))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_rows_shorter_than_what_stands_around_a_text(load, length):
    for file, preset in FILES:
        tokenizer = load(file, preset)
        rows = tokenizer(["a red cat a red cat"], length)
        assert rows.shape == (1, length) and rows[0, -1] == tokenizer.eos_id


@pytest.mark.parametrize(
    ("file", "content", "preset", "words"),
    [
        ("x.json", b"{}", None, "is not a tokenizer .*; accepted is a tokenizer.json"),
        ("x.json", b"\xff\xff", None, "is not a tokenizer"),
        ("bare.json", None, None, "has no end token; accepted is a tokenizer with one of"),
        ("bert.json", None, "siglip2", "has no token <eos>; accepted is the tokenizer that the preset names"),
        ("bert.json", None, "clip_hf", r"has no token <\|endoftext\|>"),
        ("gemma.json", None, "bert", "is not a WordPiece tokenizer"),
        ("x.txt", b"a\nb\n", "bert", r"has no token \[CLS\]"),
        ("x.txt", b"\xff", "bert", "is not UTF-8 text"),
        ("x.model", b"junk", "siglip", "is not a SentencePiece model"),
    ],
)
def test_refusals(load, folder, file, content, preset, words):
    if content is not None:
        (folder / file).write_bytes(content)
    with pytest.raises(UserError, match=f"data.tokenizer.path = '.*{file}' {words}"):
        load(file, preset)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"kind": "words"}, "kind = 'words' is unknown; accepted is clip_bpe or sentencepiece or huggingface"),
        ({"preset": "gemma"}, "preset = 'gemma' is unknown; accepted is clip_open_clip or clip_hf or siglip or siglip2 or bert"),
        (
            {"kind": "huggingface", "preset": "siglip"},
            "preset = siglip does not go with data.tokenizer.kind = huggingface; accepted is sen",
        ),
        (
            {"kind": "huggingface"},
            "path = none does not go with data.tokenizer.kind = huggingface; accepted is the path of a tokenizer.json",
        ),
    ],
)
def test_settings_that_cannot_be(spec, words):
    with pytest.raises(UserError, match=f"data.tokenizer.{words}"):
        check_tokenizer_spec(TokenizerSpec(**spec))
    with pytest.raises(UserError, match=f"data.tokenizer.{words}"):
        load_tokenizer(TokenizerSpec(**spec))


def test_a_bert_tokenizer_json_of_older_libraries(load, folder):
    content = json.loads((folder / "bert.json").read_text())
    content["model"].pop("type", None)
    (folder / "old.json").write_text(json.dumps(content))
    assert np.array_equal(load("old.json", "bert")(["a cat"], 6), load("bert.json", "bert")(["a cat"], 6))
