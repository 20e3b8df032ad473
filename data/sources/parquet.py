"""Parquet files with the bytes of images in a column, as Hugging Face data sets and img2dataset write them."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import UserError
from ..kept import Kept
from ..sample import Sample
from ..shards import expand
from ..storage import is_local
from .concatenated import Concatenated
from .members import members_of

LOG = logging.getLogger("diptych.data")
ACCEPTED = "accepted are paths of Parquet files with a column of image bytes and one of text, with globs and braces"
KEPT_GROUPS = 8  # of all files together
LARGE_GROUP = 64 << 20


def open_places(places: Sequence[str], *, setting: str) -> Concatenated:
    """The files that `places` match, one after the other. Raises UserError."""
    if far := next((place for place in places if not is_local(place)), None):
        raise UserError(f"{setting} has {far!r}, which is not on a local disk; {ACCEPTED}")
    groups = RowGroups()
    return Concatenated([ParquetSource(path, setting=setting, groups=groups) for path in expand(places, setting=setting)])


class RowGroups:
    """Reads row groups, each by one thread, and keeps those used last; another process begins with none."""

    def __init__(self) -> None:
        self._kept: Kept[tuple[str, int], Any] = Kept(KEPT_GROUPS)

    def __reduce__(self) -> tuple[type[RowGroups], tuple[()]]:
        return RowGroups, ()

    def __call__(self, path: str, group: int) -> Any:
        """The `pyarrow.Table` of one row group. Raises OSError."""
        import pyarrow.parquet

        def read() -> Any:
            try:
                with pyarrow.parquet.ParquetFile(path) as file:
                    return file.read_row_group(group)
            except pyarrow.ArrowException as error:
                raise OSError(f"row group {group} of {path} cannot be read ({error})") from error

        return self._kept.get((path, group), read)


class ParquetSource:
    """The rows of one file. A row group is a shard: it is read whole, and the last few are kept.

    Row groups of a few hundred rows suit an exact shuffle; larger ones want `data.order = block`. The fingerprint covers the file's footer,
    which says where each column lies, how large it is, and its extremes.
    """

    def __init__(self, path: str, *, setting: str, groups: RowGroups):
        import pyarrow
        import pyarrow.parquet

        self._path, self._groups = path, groups
        try:
            metadata = pyarrow.parquet.read_metadata(path)
            self.fingerprint = _footer_digest(path)
        except (pyarrow.ArrowException, OSError) as error:
            raise UserError(f"{setting} has {path!r}, which is not a Parquet file ({error}); {ACCEPTED}") from error
        self.counts = np.array([metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)], np.int64)
        self._first = np.concatenate([[0], np.cumsum(self.counts)])
        largest = max((metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)), default=0)
        if largest > LARGE_GROUP:
            LOG.warning("%s has row groups of up to %d MiB, read whole: data.order = block reads each once", path, largest >> 20)

    def __len__(self) -> int:
        return int(self._first[-1])

    def read(self, sample: int) -> Sample:
        """Row number `sample`."""
        group = int(np.searchsorted(self._first, sample, side="right")) - 1
        row = self._groups(self._path, group).slice(sample - int(self._first[group]), 1).to_pylist()[0]
        return Sample(self._path, str(sample), members_of(row))


def _footer_digest(path: str) -> str:
    with open(path, "rb") as file:
        file.seek(-8, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-8 - length, os.SEEK_END)
        return hashlib.sha256(file.read(length)).hexdigest()
