"""What a tokenizer is, and which one a recipe names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import UserError
from .clip_bpe import ClipBPE
from .merges import fetch_merges, read_merges
from .sentence_piece import SentencePiece
from .spec import TokenizerSpec


class Tokenizer(Protocol):
    """Captions -> token ids.

    vocab_size: ids are below it. eos_id: ends each caption. pad_id: fills the row behind it.
    fingerprint: SHA-256 of all that decides the ids.
    """

    vocab_size: int
    eos_id: int
    pad_id: int
    fingerprint: str

    def __call__(self, texts: Sequence[str], context_length: int) -> np.ndarray:
        """int32[B, T] with T = `context_length`, end token included; a longer text is cut so that the end token stands last."""

    def save(self, folder: Path) -> Path:
        """Writes the tokenizer's file into `folder` under its fixed name; returns its path, which `data.tokenizer.path` accepts."""


def load_tokenizer(spec: TokenizerSpec) -> Tokenizer:
    """The tokenizer that `spec` names. Raises UserError: an unknown kind, a file that is absent or is not of that kind."""
    if spec.kind == "clip_bpe":
        return ClipBPE(fetch_merges() if spec.path is None else read_merges(_read(spec.path), path=spec.path))
    if spec.kind == "sentencepiece":
        if spec.path is None:
            raise UserError("data.tokenizer.path is none, but data.tokenizer.kind = 'sentencepiece' needs a model; accepted is its path")
        return SentencePiece(_read(spec.path), path=spec.path)
    raise UserError(f"data.tokenizer.kind = {spec.kind!r} is unknown; accepted is clip_bpe or sentencepiece")


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"data.tokenizer.path = {path!r} cannot be read ({error.strerror}); accepted is the path of a file") from error
