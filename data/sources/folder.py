"""A folder of images with a table (CSV, TSV or JSONL) that names the files and their captions."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ..sample import Sample
from .concatenated import Concatenated
from .members import image_suffix, members_of

ACCEPTED = (
    "accepted is a .csv, .tsv or .jsonl with a column file_name, filepath, image or path (relative to the table), "
    "or a folder that holds metadata.csv or metadata.jsonl"
)
FILE_COLUMNS = ("file_name", "filepath", "image", "path")
TABLES = ("metadata.jsonl", "metadata.csv", "metadata.tsv")
SHARD_SAMPLES = 1000


def open_places(places: Sequence[str], *, setting: str) -> Concatenated:
    """The tables that `places` name, one after the other. Raises UserError."""
    return Concatenated([FolderSource(place, setting=setting) for place in places])


class FolderSource:
    """The rows of one table; the table is kept in memory, images are read when they are drawn.

    `counts` has a shard for each 1,000 rows. The fingerprint covers the table's bytes; an image that changes is not noticed.
    """

    def __init__(self, place: str, *, setting: str):
        table = _table(Path(place), setting=setting)
        try:
            content = table.read_bytes()
            self._rows = list(_rows(content.decode("utf-8-sig"), table.suffix))
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"{setting} = {place!r} cannot be read as a table ({error}); {ACCEPTED}") from error
        self._folder = table.parent
        self._column = _file_column(self._rows, f"{setting} = {place!r}")
        whole, rest = divmod(len(self._rows), SHARD_SAMPLES)
        self.counts = np.array([SHARD_SAMPLES] * whole + [rest] * bool(rest), np.int64)
        self.fingerprint = hashlib.sha256(content).hexdigest()

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, sample: int) -> Sample:
        """Row number `sample` and its image. Raises OSError where the image cannot be read."""
        row = self._rows[sample]
        name = str(row[self._column])
        content = (self._folder / name).read_bytes()
        members = members_of({key: value for key, value in row.items() if key != self._column})
        members[image_suffix(content) or os.path.splitext(name)[1].lstrip(".").lower()] = content  # its columns named so give way
        return Sample(str(self._folder), name, members)


def _table(place: Path, *, setting: str) -> Path:
    table = next((place / name for name in TABLES if (place / name).is_file()), None) if place.is_dir() else place
    if table is None or not table.is_file() or table.suffix not in (".csv", ".tsv", ".jsonl"):
        raise UserError(f"{setting} = {str(place)!r} is not such a table; {ACCEPTED}")
    return table


def _rows(text: str, suffix: str) -> list[dict[str, Any]]:
    if suffix == ".jsonl":
        rows = [json.loads(line) for line in text.split("\n") if line.strip()]
        if not all(isinstance(row, dict) for row in rows):
            raise ValueError("a line is not a JSON object")
        return rows
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if suffix == ".tsv" else ","))
    if longer := [number for number, row in enumerate(rows, start=1) if None in row]:
        raise ValueError(f"row {longer[0]} has more fields than there are columns: text with a separator in it must be quoted")
    return rows


def _file_column(rows: Sequence[Mapping[str, Any]], where: str) -> str:
    if not rows:
        raise UserError(f"{where} holds no rows; {ACCEPTED}")
    column = next((name for name in FILE_COLUMNS if all(_is_name(row.get(name)) for row in rows)), None)
    if column is None:
        raise UserError(f"{where} has no column with the name of a file in each row (columns: {', '.join(rows[0])}); {ACCEPTED}")
    return column


def _is_name(value: Any) -> bool:
    """Whether a file can be called so."""
    return isinstance(value, str) and bool(value) and "\0" not in value
