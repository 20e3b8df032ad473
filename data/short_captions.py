"""Captions of fewer tokens than the model's context for most of training (CLIPA: Li et al., 2023, section 3)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .spec import TextScheduleSpec
from .token_rows import row_lengths
from .tokenizers import Tokenizer

EMPTY = 8  # tokens of a row that the empty caption fits in


class ShortCaptions:
    """Which tokens of a caption stay in a row of `data.text_schedule.length`.

    The start token, if there is one, and the end token always do; a caption that fits is whole. May be sent to another process.
    """

    def __init__(self, schedule: TextScheduleSpec, tokenizer: Tokenizer, *, full: int):
        """full: tokens of a caption where none is shortened."""
        self._schedule, self._full, self._eos_id, self._pad_id = schedule, full, tokenizer.eos_id, tokenizer.pad_id
        self._start = int(np.argmax(tokenizer([""], EMPTY)[0] == tokenizer.eos_id))  # tokens that every caption begins with

    def __call__(self, row: np.ndarray, *, step: int, random: Callable[[], np.random.Generator]) -> np.ndarray:
        """int32[T] -> int32[length]; the row as it is from step `until` on. random: makes the draws of the row, where some are needed."""
        if not self.short(step):
            return row
        length, used = self._schedule.length, int(row_lengths(row[None], eos_id=self._eos_id, pad_id=self._pad_id)[0])
        if used <= length:
            return row[:length]
        words = row[self._start : used - 1]
        kept = words[self._places(len(words), length - self._start - 1, random)]
        return np.concatenate([row[: self._start], kept, [self._eos_id]]).astype(row.dtype)

    def length(self, step: int) -> int:
        """Tokens of a row at this step of the run."""
        return min(self._schedule.length, self._full) if self.short(step) else self._full

    def short(self, step: int) -> bool:
        """Whether captions are shortened at this step of the run."""
        return self._schedule.until is None or step < self._schedule.until

    def _places(self, words: int, room: int, random: Callable[[], np.random.Generator]) -> np.ndarray:
        """Which of `words` tokens stay, int[room], rising."""
        match self._schedule.reduction:
            case "truncate":
                return np.arange(room)
            case "block":
                return int(random().integers(words - room + 1)) + np.arange(room)
            case _:
                return np.sort(random().choice(words, room, replace=False))
