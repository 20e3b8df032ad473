"""BERT's uncased WordPiece tokenizer (Devlin et al., 2019, appendix A.2), as ALIGN uses it."""

from __future__ import annotations

import json

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors

from ..errors import UserError
from .hugging_face import NAME, HuggingFace, read_tokenizer_json, token_id

VOCABULARY = "vocab.txt"
START, END, PAD, UNKNOWN, MASK = "[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"


def bert(content: bytes, *, path: str) -> HuggingFace:
    """From a `tokenizer.json`, of which the vocabulary alone is read, or from a `vocab.txt` with a token a line. Raises UserError."""
    is_json = content.lstrip().startswith(b"{")
    vocabulary = _vocabulary_of_json(content, path=path) if is_json else _vocabulary_of_lines(content, path=path)
    tokenizer = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    start, end, pad, *_ = (token_id(tokenizer, token, path=path) for token in (START, END, PAD, UNKNOWN, MASK))
    tokenizer.add_special_tokens([START, END, PAD, UNKNOWN, MASK])
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=[(START, start), (END, end)])
    return HuggingFace(tokenizer, content=content, name=NAME if is_json else VOCABULARY, what="bert", end=end, pad=pad)


def _vocabulary_of_json(content: bytes, *, path: str) -> dict[str, int]:
    vocabulary = read_tokenizer_json(content, path=path).get_vocab(with_added_tokens=False)
    if json.loads(content)["model"].get("continuing_subword_prefix") != "##":
        raise UserError(f"data.tokenizer.path = {path!r} is not a WordPiece tokenizer; accepted is BERT's {NAME} or {VOCABULARY}")
    return vocabulary


def _vocabulary_of_lines(content: bytes, *, path: str) -> dict[str, int]:
    try:
        lines = content.decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        raise UserError(f"data.tokenizer.path = {path!r} is not UTF-8 text; accepted is BERT's {NAME} or {VOCABULARY}") from None
    return {word.rstrip("\r"): place for place, word in enumerate(lines)}
