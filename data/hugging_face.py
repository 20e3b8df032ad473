"""Tokenizers of Hugging Face's library `tokenizers`, from a `tokenizer.json` or built by a preset."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from ..errors import UserError
from .token_rows import token_rows

NAME = "tokenizer.json"
# Names of the end and the padding, where the file does not say which they are
ENDS = ("</s>", "<eos>", "<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "[SEP]", "<end_of_text>")
PADS = ("<pad>", "[PAD]", "<|pad|>", "<|padding|>", "<|finetune_right_pad_id|>")
PROBES = ("a", "1", "!")
UNSEEN = "\ua66e \U00012000 \u2603"  # a letter of one manuscript, a sign of cuneiform, a snowman: in few vocabularies


class HuggingFace:
    """What `tokenizer` makes of a text, with the tokens that its post-processor puts around it, cut and padded behind.

    A text that spells a special token gets that token's id.
    """

    def __init__(
        self, tokenizer: tokenizers.Tokenizer, *, content: bytes, name: str, what: str, end: int, pad: int, decided_by: bytes | None = None
    ):
        """content: of the file that `tokenizer` was made from, saved as `name`; what: is made of it, for the fingerprint.

        decided_by: what of the content decides the ids; absent: all of it.

        end, pad: ids of the tokens that end a text and fill the row behind it.
        """
        self._tokenizer, self._content, self._name = tokenizer, content, name
        self.eos_id, self.pad_id = end, pad
        self._behind = behind(tokenizer) or [end]
        self._adds_end = not behind(tokenizer)
        self.vocab_size = max(tokenizer.get_vocab().values()) + 1
        self.fingerprint = hashlib.sha256(f"{what} 1 ".encode() + (content if decided_by is None else decided_by)).hexdigest()

    def __call__(self, texts: Sequence[str], context_length: int) -> np.ndarray:
        """int32[B, T]: the ids, then padding; a longer text is cut so that what ends it stands last."""
        ids = [self._cut(self.encode(text), context_length) for text in texts]
        return token_rows(ids, length=context_length, eos_id=self.eos_id, pad_id=self.pad_id)

    def encode(self, text: str) -> list[int]:
        """The ids of one text, with those around it."""
        ids = self._tokenizer.encode(text).ids
        return [*ids, self.eos_id] if self._adds_end else ids

    def _cut(self, ids: list[int], length: int) -> list[int]:
        return ids if len(ids) <= length else [*ids[: max(length - len(self._behind), 0)], *self._behind]

    def save(self, folder: Path) -> Path:
        """Writes the file that this was made from into `folder`."""
        file = Path(folder) / self._name
        file.write_bytes(self._content)
        return file


def read_tokenizer_json(content: bytes, *, path: str) -> tokenizers.Tokenizer:
    """The tokenizer in the bytes of a `tokenizer.json`, which pads and cuts nothing by itself. `path`: for the UserError.

    Raises UserError where it is none, or has no token for what is not in its vocabulary.
    """
    try:
        tokenizer = tokenizers.Tokenizer.from_buffer(content)
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"data.tokenizer.path = {path!r} is not a tokenizer ({error}); accepted is a {NAME} of Hugging Face") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    try:
        for probe in (*PROBES, UNSEEN):
            tokenizer.encode(probe)
    except Exception as error:
        raise UserError(f"data.tokenizer.path = {path!r} cannot encode all text ({error}); accepted is one with an unknown token") from None
    return tokenizer


def hugging_face(content: bytes, *, path: str) -> HuggingFace:
    """A `tokenizer.json` as it is. Raises UserError where it is none, or says of no token that it ends a text."""
    tokenizer = read_tokenizer_json(content, path=path)
    special = {token.content: number for number, token in tokenizer.get_added_tokens_decoder().items()}
    after = behind(tokenizer)
    end = after[-1] if after else _first(ENDS, special)
    if end is None:
        raise UserError(f"data.tokenizer.path = {path!r} has no end token; accepted is a tokenizer with one of {', '.join(ENDS)}")
    padding: Mapping[str, Any] = json.loads(content).get("padding") or {}
    pad = padding.get("pad_id", _first(PADS, special))
    return HuggingFace(tokenizer, content=content, name=NAME, what="huggingface", end=end, pad=end if pad is None else pad)


def behind(tokenizer: tokenizers.Tokenizer) -> list[int]:
    """The ids that the post-processor puts behind a text."""
    for probe in PROBES:
        plain, whole = tokenizer.encode(probe, add_special_tokens=False).ids, tokenizer.encode(probe).ids
        if plain:
            start = next((place for place in range(len(whole)) if whole[place : place + len(plain)] == plain), 0)
            return whole[start + len(plain) :]
    return []


def token_id(tokenizer: tokenizers.Tokenizer, token: str, *, path: str) -> int:
    """The id of a token that there must be; UserError where there is none."""
    number = tokenizer.token_to_id(token)
    if number is None:
        raise UserError(f"data.tokenizer.path = {path!r} has no token {token}; accepted is the tokenizer that the preset names")
    return number


def _first(names: Sequence[str], ids: Mapping[str, int]) -> int | None:
    return next((ids[name] for name in names if name in ids), None)
