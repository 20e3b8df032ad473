"""What a row of a batch holds, before there is one: names, shapes and dtypes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from .embedding_cache import NAME as EMBEDDING
from .labels import NAME as LABEL
from .spec import DataSpec
from .views import COUNT
from .views import NAME as VIEWS


class Field(NamedTuple):
    """One array of a batch, without its first dimension."""

    shape: tuple[int, ...]
    dtype: np.dtype


Layout = Mapping[str, Field]


def row_layout(spec: DataSpec, *, size: int, text_length: int, views: bool, embed_dim: int | None) -> Layout:
    """size: pixels of a side, or of `data.size_schedule.seq_lens` the patches. views: whether two views of each image are made beside it.

    embed_dim: E of `data.embeddings`, which stand for the image where the recipe has them.
    """
    schedule, square = spec.size_schedule, Field((size, size, 3), np.dtype(np.uint8))
    row = {"text": Field((text_length,), np.dtype(np.int32))}
    if spec.embeddings is not None and embed_dim is not None:
        row[EMBEDDING] = Field((embed_dim,), np.dtype(np.float32))
    elif schedule is not None and schedule.seq_lens:
        row["patches"] = Field((size, 3 * schedule.patch_size**2), np.dtype(np.uint8))
        row |= {"patch_yx": Field((size, 2), np.dtype(np.int32)), "patch_mask": Field((size,), np.dtype(bool))}
    else:
        row["image"] = square
    if views:
        row[VIEWS] = Field((COUNT, *square.shape), square.dtype)
    if spec.label_key is not None:
        row[LABEL] = Field((), np.dtype(np.int32))
    return row
