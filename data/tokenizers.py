"""What a tokenizer is, and which one a recipe names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import UserError
from .bert import bert
from .clip_bpe import ClipBPE
from .clip_hf import clip_hf, clip_hf_json
from .hugging_face import hugging_face
from .merges import fetch_merges, read_merges
from .sentence_piece import SentencePiece
from .siglip import Siglip, Siglip2, siglip2_json
from .spec import TokenizerSpec
from .tokenizer_presets import check_tokenizer_spec


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
    """The tokenizer that `spec` names. Raises UserError: as `check_tokenizer_spec`, or a file that is absent or is not of that kind."""
    check_tokenizer_spec(spec)
    if spec.path is None:
        return _FROM_MERGES[spec.preset](fetch_merges())
    content = _read(spec.path)
    if spec.kind == "clip_bpe":
        return _FROM_MERGES[spec.preset](read_merges(content, path=spec.path))
    return _FROM_FILE[spec.kind, spec.preset](content, path=spec.path)


_FROM_MERGES: Mapping[str | None, Callable[[Sequence[str]], Tokenizer]] = {None: ClipBPE, "clip_open_clip": ClipBPE, "clip_hf": clip_hf}
_FROM_FILE: Mapping[tuple[str, str | None], Callable[..., Tokenizer]] = {
    ("sentencepiece", None): SentencePiece,
    ("sentencepiece", "siglip"): Siglip,
    ("sentencepiece", "siglip2"): Siglip2,
    ("huggingface", None): hugging_face,
    ("huggingface", "clip_hf"): clip_hf_json,
    ("huggingface", "siglip2"): siglip2_json,
    ("huggingface", "bert"): bert,
}


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"data.tokenizer.path = {path!r} cannot be read ({error.strerror}); accepted is the path of a file") from error
