"""Parquet files with the bytes of images in a column, as Hugging Face data sets and img2dataset write them."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import UserError
from ..sample import Sample
from ..shards import expand
from .concatenated import Concatenated
from .members import members_of

ACCEPTED = "accepted are paths of Parquet files with a column of image bytes and one of text, with globs and braces"
KEPT_GROUPS = 4


def open_places(places: Sequence[str], *, setting: str) -> Concatenated:
    """The files that `places` match, one after the other. Raises UserError."""
    return Concatenated([ParquetSource(path, setting=setting) for path in expand(places, setting=setting)])


class ParquetSource:
    """The rows of one file. A row group is a shard: it is read whole, and the last few are kept.

    Row groups of a few hundred rows suit an exact shuffle; larger ones want `data.order = block`.
    """

    def __init__(self, path: str, *, setting: str):
        import pyarrow
        import pyarrow.parquet

        self._path = path
        try:
            metadata = pyarrow.parquet.read_metadata(path)
        except (pyarrow.ArrowException, OSError) as error:
            raise UserError(f"{setting} has {path!r}, which is not a Parquet file ({error}); {ACCEPTED}") from error
        self.counts = np.array([metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)], np.int64)
        self._first = np.concatenate([[0], np.cumsum(self.counts)])
        about = [os.path.basename(path), os.path.getsize(path), self.counts.tolist()]
        self.fingerprint = hashlib.sha256(json.dumps(about).encode()).hexdigest()
        self.__setstate__(vars(self))

    def __len__(self) -> int:
        return int(self._first[-1])

    def read(self, sample: int) -> Sample:
        """Row number `sample`."""
        group = int(np.searchsorted(self._first, sample, side="right")) - 1
        row = self._group(group).slice(sample - int(self._first[group]), 1).to_pylist()[0]
        return Sample(self._path, str(sample), members_of(row))

    def _read_group(self, group: int) -> Any:
        import pyarrow.parquet

        with self._lock, pyarrow.parquet.ParquetFile(self._path) as file:
            return file.read_row_group(group)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_lock", "_group")}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self._lock = threading.Lock()
        self._group = functools.lru_cache(KEPT_GROUPS)(self._read_group)
