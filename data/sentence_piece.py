"""SentencePiece models (Kudo and Richardson, 2018) as tokenizers, and the training of small ones."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import sentencepiece

from ..errors import UserError
from .captions import MAX_LETTERS
from .token_rows import token_rows

NAME = "sentencepiece.model"
ABSENT = -1
SIZES = (4, 1 << 24)  # of a vocabulary to be trained: padding, end, unknown and a piece; for 2^31 - 1 the library does not come back
NO_LETTERS = re.compile(r"sentences_\.empty|all_chars_count")
RESERVED = "\u2585"  # a caption with it would be passed over


class SentencePiece:
    """The ids of the model, then its end token, then its padding token (the end token again where it has none)."""

    def __init__(self, model: bytes, *, path: str, preset: str = ""):
        """model: the bytes of the model's file; path: where they are from; preset: what else decides the ids.

        Raises UserError: not a model, or one without an end token.
        """
        self._model = model
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model or b"empty")  # no bytes would be taken for no model
        except RuntimeError as error:
            raise UserError(f"data.tokenizer.path = {path!r} is not a SentencePiece model; accepted is one with an end token") from error
        self.vocab_size: int = self._processor.vocab_size()
        self.eos_id: int = self._processor.eos_id()
        if self.eos_id == ABSENT:
            raise UserError(f"data.tokenizer.path = {path!r} is a SentencePiece model without an end token; accepted is one that has it")
        pad_id = self._processor.pad_id()
        self.pad_id: int = self.eos_id if pad_id == ABSENT else pad_id
        self.fingerprint = hashlib.sha256(f"sentencepiece 1{preset}".encode() + model).hexdigest()

    def __call__(self, texts: Sequence[str], context_length: int) -> np.ndarray:
        """int32[B, T]: ids, end, then padding; a longer text is cut so that the end stands last."""
        ids = [[*self.encode(text), self.eos_id] for text in texts]
        return token_rows(ids, length=context_length, eos_id=self.eos_id, pad_id=self.pad_id)

    def encode(self, text: str) -> list[int]:
        """The ids of one text without its end."""
        return self._processor.encode(text)

    def save(self, folder: Path) -> Path:
        """Writes `sentencepiece.model` into `folder`."""
        file = Path(folder) / NAME
        file.write_bytes(self._model)
        return file


def train_sentencepiece(
    captions: Iterable[str], *, vocab_size: int, out: Path, seed: int, model_type: str = "bpe", setting: str = "vocab_size"
) -> SentencePiece:
    """Trains a model of at most `vocab_size` pieces on captions, lower-cased (NFKC, case folding), and writes it to `out`.

    Ids: 0 padding, 1 end, 2 unknown, no start. The same captions and seed give the same bytes.
    model_type: `bpe` or `unigram`. setting: what `vocab_size` is called in the UserError that it has no room for the letters, is out of
    range, or that there are no letters. Every caption of up to 2^16 letters is read.
    """
    if not SIZES[0] <= vocab_size <= SIZES[1]:
        raise UserError(f"{setting} = {vocab_size} is out of range; accepted is {SIZES[0]} to {SIZES[1]}")
    content = io.BytesIO()
    sentencepiece.set_random_generator_seed(seed)
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(caption.replace(RESERVED, " ") for caption in captions),
            max_sentence_length=4 * MAX_LETTERS,  # bytes; a longer one would be passed over
            model_writer=content,
            model_type=model_type,
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            normalization_rule_name="nmt_nfkc_cf",
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=ABSENT,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        needed = re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error))
        if needed is None and NO_LETTERS.search(str(error)):
            raise UserError(f"{setting} = {vocab_size} finds no letters in the captions; accepted are captions with words") from None
        if needed is None:
            raise
        raise UserError(f"{setting} = {vocab_size} leaves out letters of the captions; accepted is {needed[1]} or more") from None
    Path(out).write_bytes(content.getvalue())
    return SentencePiece(content.getvalue(), path=str(out))
