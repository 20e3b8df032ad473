"""The tokenizers of SigLIP (Zhai et al., 2023) and SigLIP 2 (Tschannen et al., 2025), as transformers has them."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

import numpy as np
from tokenizers import normalizers, processors

from .hugging_face import NAME, HuggingFace, read_tokenizer_json, token_id
from .sentence_piece import SentencePiece
from .token_rows import token_rows

SPACE = "\u2581"  # what SentencePiece makes of a blank
NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
END, PAD = "<eos>", "<pad>"


class Siglip(SentencePiece):
    """SiglipTokenizer: pieces of lower-case text without ASCII punctuation, then the end token up to the end of the row.

    A text that spells the end or the unknown token gets its id, and one that closes with the end token is ended by it.
    """

    def __init__(self, model: bytes, *, path: str):
        super().__init__(model, path=path, preset="siglip")
        self.pad_id = self.eos_id
        pieces = self._processor
        self._unknown: str = pieces.id_to_piece(pieces.unk_id())
        self._special = {piece: pieces.piece_to_id(piece) for piece in (pieces.id_to_piece(self.eos_id), self._unknown)}
        self._parts = re.compile(f"({'|'.join(map(re.escape, self._special))})")
        self._skipped = len(pieces.encode(self._unknown))

    def __call__(self, texts: Sequence[str], context_length: int) -> np.ndarray:
        """int32[B, T]: ids, then the end token; a longer text is cut so that the end stands last."""
        ids = [[*self.encode(text)[: context_length - 1], self.eos_id] for text in texts]
        return token_rows(ids, length=context_length, eos_id=self.eos_id, pad_id=self.pad_id)

    def encode(self, text: str) -> list[int]:
        """The ids of one text without its end."""
        parts = self._parts.split(SPACE + text.replace(SPACE, " "))
        found: list[str] = []
        for place, part in enumerate(parts):
            if place % 2:
                found.append(part)
                continue
            part = part.lstrip() if place else part  # special tokens take the white space around them
            part = part.rstrip() if place + 1 < len(parts) else part
            if part:
                found.extend(self._pieces(part))
        if len(found) > 1 and found[0] == SPACE and found[1] in self._special:
            del found[0]
        return self._processor.piece_to_id(found)

    def _pieces(self, text: str) -> list[str]:
        text = re.sub(r"\s+", " ", text.lower().translate(NO_PUNCTUATION)).strip()
        # The reference puts the unknown token before the text, so that a blank at its start is kept, and cuts its pieces off
        pieces: list[str] = self._processor.encode(self._unknown + text, out_type=str)
        return pieces[self._skipped :] if len(pieces) >= self._skipped else pieces


class Siglip2(SentencePiece):
    """Siglip2Tokenizer, from Gemma's SentencePiece model: pieces of lower-case text, the end token, then padding.

    A text that spells a control piece gets its id. A text that spells a user-defined piece (`<mask>`) does too, unlike there even in
    capitals: big_vision, which trained these models, looks for it in the lower-case text.
    """

    def __init__(self, model: bytes, *, path: str):
        super().__init__(model, path=path, preset="siglip2")
        self._lower = normalizers.Lowercase()  # letter by letter: Python's own looks at a letter's neighbours
        pieces = self._processor
        whole = [number for number in range(self.vocab_size) if pieces.is_control(number) or pieces.is_unknown(number)]
        names = sorted((pieces.id_to_piece(number) for number in whole), key=len, reverse=True)
        self._parts = re.compile(f"({'|'.join(map(re.escape, names))})")

    def encode(self, text: str) -> list[int]:
        """The ids of one text without its end."""
        ids: list[int] = []
        for place, part in enumerate(self._parts.split(text)):
            ids.extend([self._processor.piece_to_id(part)] if place % 2 else self._processor.encode(self._lower.normalize_str(part)))
        return ids


def siglip2_json(content: bytes, *, path: str) -> HuggingFace:
    """The same from the `tokenizer.json` of released weights. Raises UserError."""
    tokenizer = read_tokenizer_json(content, path=path)
    steps = [normalizers.Lowercase(), *([tokenizer.normalizer] if tokenizer.normalizer else [])]
    tokenizer.normalizer = normalizers.Sequence(steps)
    end, pad = token_id(tokenizer, END, path=path), token_id(tokenizer, PAD, path=path)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, end)])
    return HuggingFace(tokenizer, content=content, name=NAME, what="siglip2", end=end, pad=pad)
