"""Every tokenizer preset gives the ids of its reference, on 10,000 strings of all kinds, cut and padded.

CLIP's merges are the real ones. The other vocabularies are trained here, on names of emoji in 16 languages.
"""

import html.entities
import io
import json
import os
import string
import tarfile
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import tokenizers
from tokenizers import trainers

from diptych.data.bert import END as SEP
from diptych.data.bert import MASK, PAD, START, UNKNOWN
from diptych.data.clean import CLEANINGS
from diptych.data.clip_bpe import clip_vocabulary
from diptych.data.merges import read_merges
from diptych.data.spec import TokenizerSpec
from diptych.data.tokenizers import load_tokenizer

if os.environ.get("DIPTYCH_PARITY") != "1":
    pytest.skip("DIPTYCH_PARITY is not 1", allow_module_level=True)
open_clip_tokenizer = pytest.importorskip("open_clip.tokenizer", reason="open_clip is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"
STRINGS = 10_000
LENGTHS = (77, 16, 3)
WORDS = [
    "a photo of",
    "it's",
    "WE'LL",
    "don't",
    "'S",
    "ſ",
    "'ſ",
    "\u212a",
    "İI",
    "ı",
    "ΑΣ",
    "ΣΑΣ ",
    "ß",
    "é",
    "e\u0301",
    "½",
    "①",
    "٣",
    "漢字",
    "한국어",
    "ไทย",
    "🦬",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "ﬁ",
    "“q”",
    "…",
    "\uff46\uff55\uff4c\uff4c\u3000\uff57\uff49\uff44\uff54\uff48",
    "Ｃａｔ！",
    "don’t",
    "&amp;",
    "&amp;lt;b&gt;",
    "<b>",
    "\t",
    "\n\n",
    "\x00",
    "\x1b[31m",
    "\x1c",
    "\x85",
    "\xa0",
    "\u180e",
    "\u200b",
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
    "   ",
    "▁",
    "▁▁",
    "<ſtart_of_text>",
    "&#39;",
    "&#x1F600;",
    "&amp;#39;",
    "&#xD800;",
    "&#0;",
    "&#128;",
]
SPECIAL = [
    "<start_of_text>",
    "<end_of_text>",
    "<END_OF_TEXT>",
    "<<start_of_text>",
    "<|startoftext|>",
    "<|endoftext|>",
    "<|ENDOFTEXT|>",
    "</s>",
    "<s>",
    "</S>",
    "<unk>",
    "<UNK>",
    "<pad>",
    "<eos>",
    "<EOS>",
    "<bos>",
    "<mask>",
    "<Mask>",
    "[CLS]",
    "[SEP]",
    "[sep]",
    "[MASK]",
    "[UNK]",
    "[PAD]",
]
ENTITIES = [f"&{name}" for name in html.entities.html5]
# Characters that Python's Unicode tables (14) do not know yet are left out: libraries disagree on whether they are letters
UNICODE = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")]
EMOJI = [letter for letter in UNICODE if unicodedata.category(letter) == "So" and ord(letter) > 0x2000]
LETTERS = list(string.ascii_letters + string.digits + ".,-")
SHARES = {0.4: WORDS, 0.5: SPECIAL, 0.58: ENTITIES, 0.68: EMOJI, 0.9: UNICODE}


def part(rng):
    draw = rng.random()
    for below, pieces in SHARES.items():
        if draw < below:
            return pieces[rng.integers(len(pieces))]
    return "".join(rng.choice(LETTERS, rng.integers(1, 12)))


@pytest.fixture(scope="module")
def corpus():
    """Each piece alone, then mixed strings of up to 13 pieces, every fiftieth of 100 to 600."""
    rng = np.random.default_rng(0)
    texts = ["", " ", *WORDS, *SPECIAL]
    for number in range(len(texts), STRINGS):
        pieces = rng.integers(100, 600) if number % 50 == 0 else rng.integers(0, 14)
        texts.append("".join(part(rng) + " " * int(rng.integers(2)) for _ in range(pieces)))
    assert len(texts) == STRINGS and max(map(len, texts)) > 1000
    return texts


@pytest.fixture(scope="module")
def names():
    """Names and keywords of emoji in 16 languages, as lines."""
    file = SHARED / "emoji/concepts.jsonl"
    if not file.exists():
        pytest.skip("emoji are not in ../shared/data")
    return [text for line in file.read_text("utf-8").splitlines() for text in strings(json.loads(line))]


def strings(value):
    if isinstance(value, str):
        return [value]
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for child in children for text in strings(child)]


@pytest.fixture(scope="module")
def merges():
    path = SHARED / "text/bpe_simple_vocab_16e6.txt.gz"
    if not path.exists():
        pytest.skip("CLIP's merges are not in ../shared/data")
    return path


def trained(names, path, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(names[::20]), model_writer=model, vocab_size=3000, character_coverage=0.99, minloglevel=2, **options
    )
    path.write_bytes(model.getvalue())
    return path


@pytest.fixture(scope="module")
def siglip_model(names, tmp_path_factory):
    """Unigram, as T5's that SigLIP has."""
    path = tmp_path_factory.mktemp("siglip") / "spiece.model"
    return trained(names, path, model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)


@pytest.fixture(scope="module")
def gemma_model(names, tmp_path_factory):
    """BPE with the settings of Gemma's, that SigLIP 2 has."""
    plain = {"add_dummy_prefix": False, "remove_extra_whitespaces": False, "normalization_rule_name": "identity", "byte_fallback": True}
    ids = {"pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3, "eos_piece": "<eos>", "bos_piece": "<bos>"}
    options = {"user_defined_symbols": ["<mask>"], "split_digits": True, "allow_whitespace_only_pieces": True}
    return trained(names, tmp_path_factory.mktemp("gemma") / "tokenizer.model", model_type="bpe", **plain, **ids, **options)


def of(reference):
    """What a tokenizer of transformers makes of texts, as its processors call it."""
    return lambda texts, length: np.array(reference(texts, padding="max_length", truncation=True, max_length=length).input_ids)


def assert_equal(ours, theirs, texts, lengths=LENGTHS):
    for length in lengths:
        found, wanted = ours(texts, length), theirs(texts, length)
        assert found.dtype == np.int32 and found.shape == wanted.shape == (len(texts), length)
        wrong = np.flatnonzero((found != wanted).any(axis=1))
        assert not len(wrong), [(texts[place], found[place].tolist(), wanted[place].tolist()) for place in wrong[:3]]
        assert len(np.unique(found)) > 200, "the ids differ"


def test_clip_open_clip(merges, corpus, names):
    ours = load_tokenizer(TokenizerSpec(path=str(merges), preset="clip_open_clip"))
    reference = open_clip_tokenizer.SimpleTokenizer()
    assert_equal(ours, lambda texts, length: reference(texts, length).numpy(), [*corpus, *names[::200]])


@pytest.fixture(scope="module")
def clip_tokenizer(merges):
    lines = read_merges(merges.read_bytes(), path="")
    vocabulary = clip_vocabulary(lines, start="<|startoftext|>", end="<|endoftext|>")
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=[tuple(line.split()) for line in lines])


def test_clip_hf(merges, clip_tokenizer, corpus):
    assert_equal(load_tokenizer(TokenizerSpec(path=str(merges), preset="clip_hf")), of(clip_tokenizer), corpus)


def test_clip_hf_of_a_tokenizer_json(clip_tokenizer, corpus, tmp_path):
    clip_tokenizer.save_pretrained(tmp_path)
    spec = TokenizerSpec(kind="huggingface", path=str(tmp_path / "tokenizer.json"), preset="clip_hf")
    assert_equal(load_tokenizer(spec), of(clip_tokenizer), corpus)


def test_siglip(siglip_model, corpus):
    spec = TokenizerSpec(kind="sentencepiece", path=str(siglip_model), preset="siglip")
    assert_equal(load_tokenizer(spec), of(transformers.SiglipTokenizer(str(siglip_model))), corpus)


@pytest.fixture(scope="module")
def siglip2_tokenizer(gemma_model):
    kind = transformers.Siglip2Tokenizer
    pieces = kind.convert_to_native_format(vocab_file=str(gemma_model))
    return kind(**pieces, padding_side="right", add_bos_token=False, add_eos_token=True)


def test_siglip2_of_pieces(gemma_model, siglip2_tokenizer, corpus):
    spec = TokenizerSpec(kind="sentencepiece", path=str(gemma_model), preset="siglip2")
    texts = [text for text in corpus if "<Mask>" not in text]  # user-defined pieces in capitals: see `Siglip2`
    assert len(texts) > 0.95 * len(corpus)
    assert_equal(load_tokenizer(spec), of(siglip2_tokenizer), texts)


def test_siglip2_of_a_tokenizer_json(siglip2_tokenizer, corpus, tmp_path):
    siglip2_tokenizer.save_pretrained(tmp_path)
    spec = TokenizerSpec(kind="huggingface", path=str(tmp_path / "tokenizer.json"), preset="siglip2")
    assert_equal(load_tokenizer(spec), of(siglip2_tokenizer), corpus)


def test_siglip2_of_gemmas_own_tokenizer_json(gemma_model, siglip2_tokenizer, corpus, tmp_path):
    gemma = transformers.GemmaTokenizer(**transformers.GemmaTokenizer.convert_to_native_format(vocab_file=str(gemma_model)))
    gemma.save_pretrained(tmp_path)  # starts with <bos>, ends with nothing, keeps capitals
    spec = TokenizerSpec(kind="huggingface", path=str(tmp_path / "tokenizer.json"), preset="siglip2")
    assert_equal(load_tokenizer(spec), of(siglip2_tokenizer), corpus, (16,))


def test_bert(names, corpus, tmp_path):
    wordpiece = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token=UNKNOWN))
    wordpiece.normalizer, wordpiece.pre_tokenizer = tokenizers.normalizers.BertNormalizer(), tokenizers.pre_tokenizers.BertPreTokenizer()
    special = [PAD, UNKNOWN, START, SEP, MASK]
    wordpiece.train_from_iterator(names[::20], trainers.WordPieceTrainer(vocab_size=4000, special_tokens=special, show_progress=False))
    vocabulary = wordpiece.get_vocab()
    (tmp_path / "vocab.txt").write_text("".join(f"{word}\n" for word in sorted(vocabulary, key=vocabulary.get)), encoding="utf-8")
    reference = transformers.BertTokenizer(vocab=vocabulary)
    reference.save_pretrained(tmp_path)
    for file, preset in (("vocab.txt", "bert"), ("tokenizer.json", "bert"), ("tokenizer.json", None)):
        spec = TokenizerSpec(kind="huggingface", path=str(tmp_path / file), preset=preset)
        assert_equal(load_tokenizer(spec), of(reference), corpus, LENGTHS if preset else (16,))


def test_sentencepiece_is_the_library(siglip_model, gemma_model, corpus):
    for path in (siglip_model, gemma_model):
        library = sentencepiece.SentencePieceProcessor(model_file=str(path))

        def theirs(texts, length, library=library):
            rows = np.zeros((len(texts), length), np.int64)
            for row, ids in zip(rows, library.encode(texts, add_eos=True)):
                row[: len(ids)] = ids if len(ids) <= length else [*ids[: length - 1], library.eos_id()]
            return rows

        assert_equal(load_tokenizer(TokenizerSpec(kind="sentencepiece", path=str(path))), theirs, corpus)


def test_captions_of_groceries(merges):
    with tarfile.open(SHARED / "grocery/grocery-train-00000.tar") as shard:
        texts = sorted({shard.extractfile(member).read().decode() for member in shard if member.name.endswith(".txt")})
    reference = open_clip_tokenizer.SimpleTokenizer()
    assert_equal(load_tokenizer(TokenizerSpec(path=str(merges))), lambda texts, length: reference(texts, length).numpy(), texts, (77,))


def test_cleanings_are_open_clips(corpus):
    lower = open_clip_tokenizer.get_clean_fn("lower")
    assert [CLEANINGS["clip"](text) for text in corpus] == [lower(text) for text in corpus]
    canonical = open_clip_tokenizer.canonicalize_text  # big_vision's, without open_clip's mending before it
    assert [CLEANINGS["siglip"](text) for text in corpus] == [canonical(text) for text in corpus]
