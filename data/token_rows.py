"""Lists of token ids -> rows of one length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def token_rows(ids: Sequence[Sequence[int]], *, length: int, eos_id: int, pad_id: int) -> np.ndarray:
    """int32[B, T] with T = `length`: padded behind, or cut so that `eos_id` stands last. Each of `ids` ends with `eos_id`."""
    rows = np.full((len(ids), length), pad_id, np.int32)
    for row, tokens in zip(rows, ids):
        row[: len(tokens)] = tokens[:length]
        if len(tokens) > length:
            row[-1] = eos_id
    return rows


def row_lengths(rows: np.ndarray, *, eos_id: int, pad_id: int) -> np.ndarray:
    """int64[B]: tokens of each row of int32[B, T] up to and with its last `eos_id`, padding left out."""
    width, filled = rows.shape[1], rows != pad_id
    used = np.where(filled.any(axis=1), width - filled[:, ::-1].argmax(axis=1), 0)
    return np.minimum(used + (pad_id == eos_id), width)
