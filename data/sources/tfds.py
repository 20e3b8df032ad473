"""TensorFlow Datasets stored as ArrayRecord, read without TensorFlow."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import UserError
from ..sample import Sample
from .concatenated import Concatenated
from .members import members_of

ACCEPTED = "accepted is NAME#SPLIT or FOLDER#SPLIT of a data set that was prepared with file_format='array_record'"


def open_places(places: Sequence[str], *, setting: str) -> Concatenated:
    """The data sets that `places` name, one after the other. Raises UserError."""
    return Concatenated([TfdsSource(place, setting=setting) for place in places])


class TfdsSource:
    """One split. place: `NAME#SPLIT` (in TFDS's own data folder) or `FOLDER#SPLIT` (with dataset_info.json); the split may be a slice.

    Members carry the names of the features; images stay encoded, so that Diptych's own decoder makes the pixels.
    """

    def __init__(self, place: str, *, setting: str):
        import tensorflow_datasets as tfds

        self.name, _, split = place.partition("#")
        split = split or "train"
        try:
            builder = tfds.builder_from_directory(self.name) if os.path.isdir(self.name) else tfds.builder(self.name)
            images = {
                name: tfds.decode.SkipDecoding()
                for name, feature in builder.info.features.items()
                if isinstance(feature, tfds.features.Image)
            }
            self._records = builder.as_data_source(split, decoders=images)
            info = builder.info.splits[split]
            if not len(self._records):
                raise ValueError(f"no records in {split}")
        except (ValueError, KeyError, OSError, NotImplementedError, ImportError, AssertionError, RuntimeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"{setting} = {place!r} cannot be read as a TFDS data set ({reason}); {ACCEPTED}") from error
        self.counts = np.array(info.shard_lengths, np.int64)
        about = [builder.info.full_name, split, self.counts.tolist(), _digests(builder)]
        self.fingerprint = hashlib.sha256(json.dumps(about).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self._records)

    def read(self, sample: int) -> Sample:
        """Record number `sample` of the split. Raises OSError where its file is broken."""
        try:
            record = self._records[sample]
        except RuntimeError as error:
            raise OSError(f"record {sample} of {self.name} cannot be read ({error})") from error
        return Sample(self.name, str(sample), members_of(record))


def _digests(builder: Any) -> list[list[Any]]:
    """Name and bytes of each file of the data set."""
    files = sorted(path for split in builder.info.splits.values() for path in map(str, split.filepaths))
    return [[os.path.basename(path), os.path.getsize(path)] for path in files]
