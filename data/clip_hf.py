"""CLIP's tokenizer as transformers has it (CLIPTokenizer): NFC and lower case, nothing mended, padded with the end token."""

from __future__ import annotations

from collections.abc import Sequence

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors

from .clip_bpe import clip_vocabulary
from .hugging_face import NAME as TOKENIZER_JSON
from .hugging_face import HuggingFace, read_tokenizer_json, token_id
from .merges import NAME, merges_content

START, END = "<|startoftext|>", "<|endoftext|>"
WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def clip_hf(merges: Sequence[str]) -> HuggingFace:
    """49,408 ids: those of CLIP's own tokenizer, start (49406) and end (49407) of text under other names."""
    vocabulary = clip_vocabulary(merges, start=START, end=END)
    pairs = [(left, right) for left, right in map(str.split, merges)]
    model = models.BPE(vocab=vocabulary, merges=pairs, continuing_subword_prefix="", end_of_word_suffix="</w>", unk_token=END)
    tokenizer = tokenizers.Tokenizer(model)
    # The reference also makes white space blanks, which changes no id and costs 4 us of 42
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    words = pre_tokenizers.Split(tokenizers.Regex(WORDS), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.add_special_tokens([START, END])
    start, end = vocabulary[START], vocabulary[END]
    tokenizer.post_processor = processors.RobertaProcessing((END, end), (START, start), trim_offsets=False, add_prefix_space=False)
    # The bytes of a gzip depend on the libraries that made it
    decided_by = "\n".join(merges).encode()
    return HuggingFace(tokenizer, content=merges_content(merges), name=NAME, what="clip_hf", end=end, pad=end, decided_by=decided_by)


def clip_hf_json(content: bytes, *, path: str) -> HuggingFace:
    """The same from the `tokenizer.json` of released weights. Raises UserError."""
    tokenizer = read_tokenizer_json(content, path=path)
    end = token_id(tokenizer, END, path=path)
    return HuggingFace(tokenizer, content=content, name=TOKENIZER_JSON, what="clip_hf_json", end=end, pad=end)
