"""CLIP's tokenizer (Radford et al., 2021): byte-level BPE on cleaned, lower-case text. Ids equal those of open_clip's SimpleTokenizer.

Only letters that Unicode gained lately may be split otherwise: there, open_clip's own ids depend on the version of its regex library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import pre_tokenizers

from .clean import clip
from .merges import NAME, byte_letters, merges_content
from .token_rows import token_rows

START, END = "<start_of_text>", "<end_of_text>"
# U+0345 folds to a letter but is none: where case is ignored, open_clip's regex library finds it in no class, and so it parts words
WORDS = rf"(?i:{START}|{END}|'s|'t|'re|'ve|'m|'ll|'d)|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}\x{{345}}]+"


class ClipBPE:
    """49,408 ids: 256 bytes, 256 bytes that end a word, 48,894 merges, start (49406) and end (49407) of text; rows are padded with 0."""

    pad_id = 0

    def __init__(self, merges: Sequence[str]):
        vocabulary = clip_vocabulary(merges, start=START, end=END)
        self._merges = tuple(merges)
        self._special = {START: vocabulary[START], END: vocabulary[END]}
        pairs = [(left, right) for left, right in map(str.split, merges)]
        self._bpe = tokenizers.models.BPE(vocab=vocabulary, merges=pairs, continuing_subword_prefix="", end_of_word_suffix="</w>")
        self._tokenizer = tokenizers.Tokenizer(self._bpe)
        words = pre_tokenizers.Split(tokenizers.Regex(WORDS), behavior="removed", invert=True)
        self._words = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
        self._tokenizer.pre_tokenizer = self._words
        self.vocab_size = len(vocabulary)
        self.sot_id, self.eos_id = self._special.values()
        self.fingerprint = hashlib.sha256("\n".join(["clip_bpe 1", *merges]).encode()).hexdigest()

    def __call__(self, texts: Sequence[str], context_length: int) -> np.ndarray:
        """int32[B, T]: start, ids, end, then 0; a longer text is cut so that the end stands last."""
        ids = [[self.sot_id, *self.encode(text), self.eos_id] for text in texts]
        return token_rows(ids, length=context_length, eos_id=self.eos_id, pad_id=self.pad_id)

    def encode(self, text: str) -> list[int]:
        """The ids of one text, without start and end."""
        text = clip(text)
        if START in text or END in text:
            return [token for word, _ in self._words.pre_tokenize_str(text) for token in self._word(word)]
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def _word(self, word: str) -> list[int]:
        if word in self._special:
            return [self._special[word]]
        return [token.id for token in self._bpe.tokenize(word)]

    def save(self, folder: Path) -> Path:
        """Writes `bpe_simple_vocab_16e6.txt.gz` into `folder`."""
        file = Path(folder) / NAME
        file.write_bytes(merges_content(self._merges))
        return file


def clip_vocabulary(merges: Sequence[str], *, start: str, end: str) -> dict[str, int]:
    """Token -> id: letters, letters that end a word, merges, start and end."""
    letters = byte_letters()
    words = [*letters, *(letter + "</w>" for letter in letters), *(merge.replace(" ", "") for merge in merges), start, end]
    return {word: place for place, word in enumerate(words)}
