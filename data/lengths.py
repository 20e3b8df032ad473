"""Token counts of all captions, known before the first batch, so that all hosts cut a batch to the same length without talking."""

from __future__ import annotations

import bisect

import numpy as np

from .bad import BadSample
from .index import Index
from .order import Order
from .text import text_of
from .token_rows import row_lengths
from .tokenizers import Tokenizer


def caption_lengths(index: Index, *, text_key: str, tokenizer: Tokenizer, context_length: int) -> np.ndarray:
    """uint16[samples]: tokens of each caption, end token included. An unreadable caption counts as `context_length`, the most there is."""
    lengths = np.full(len(index), context_length, np.uint16)
    for sample in range(len(index)):
        try:
            text = text_of(index.read(sample), text_key)
        except BadSample:
            continue
        row = tokenizer([text], context_length)
        lengths[sample] = row_lengths(row, eos_id=tokenizer.eos_id, pad_id=tokenizer.pad_id)[0]
    return lengths


class TextLengths:
    """The length to which a global batch's captions may be cut: the smallest of `choices` that holds the longest.

    lengths: uint16[samples], tokens of each caption. choices: rising; the context length is always one of them.
    """

    def __init__(self, lengths: np.ndarray, *, choices: tuple[int, ...], context_length: int, order: Order):
        self._choices = [*(choice for choice in sorted(choices) if choice < context_length), context_length]
        self._lengths, self._order = lengths, order

    def of_batch(self, first: int, batch_size: int) -> int:
        """For the global batch of the positions first .. first + batch_size - 1."""
        samples = self._order.many(first, batch_size)
        return self._smallest(int(self._lengths[samples].max()))

    def fits(self, sample: int, *, instead_of: int) -> bool:
        """Whether `sample` can replace `instead_of` in any batch without changing that batch's length."""
        return int(self._lengths[sample]) <= self._smallest(int(self._lengths[instead_of]))

    def _smallest(self, tokens: int) -> int:
        return self._choices[bisect.bisect_left(self._choices, tokens)]
