"""The length to which a batch's captions may be cut, since all of them are shorter."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import numpy as np

from .token_rows import row_lengths


class TextLengths:
    """Reads a length off the rows that a batch really holds, so that it has no part in what is drawn.

    Hosts that feed one batch take the largest of their lengths.
    """

    def __init__(self, choices: Sequence[int], *, context_length: int, eos_id: int, pad_id: int):
        """choices: lengths; the context length is always one of them."""
        self._choices = [*(choice for choice in sorted(choices) if choice < context_length), context_length]
        self._eos_id, self._pad_id = eos_id, pad_id

    def of(self, text: np.ndarray) -> int:
        """The smallest choice that holds every row of int32[B, T] up to and with its end token."""
        longest = int(row_lengths(text, eos_id=self._eos_id, pad_id=self._pad_id).max())
        return self._choices[bisect.bisect_left(self._choices, longest)]
