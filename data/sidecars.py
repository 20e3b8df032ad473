"""What other tools wrote beside shards: counts of img2dataset and wids, starts of samples of Energon."""

from __future__ import annotations

import dataclasses
import json
import posixpath
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from .manifest import base_name
from .scan import Scan, parts, scan
from .tar import BLOCK, Member, Read, archive, stretch
from .tar_names import TarError

PROBES = 8  # pairs of samples that have to lie where an index of starts says
IMG2DATASET, ENERGON = "_stats.json", ".idx"
REMEDY = "(remove that file, or make a manifest with `diptych data index --scan`)"

Open = Callable[[str], bytes | None]  # the content of a file, None where there is none


@dataclasses.dataclass(frozen=True)
class Count:
    """How many samples a shard holds, by the file `name`; bytes: how large the shard is by that file, if it says so."""

    samples: int
    name: str
    bytes: int | None = None

    def check(self, *, samples: int | None = None, size: int) -> None:
        """Raises TarError where the shard has another size, has another number of samples, or is too small for it."""
        if self.bytes not in (None, size):
            raise TarError(f"has {size} bytes where {self.name} says {self.bytes} {REMEDY}")
        if samples not in (None, self.samples):
            raise TarError(f"holds {samples} samples where {self.name} says {self.samples} {REMEDY}")
        if self.samples < 0 or self.samples * BLOCK >= size:
            raise TarError(f"has {size} bytes, too few for the {self.samples} samples that {self.name} says {REMEDY}")


def img2dataset_count(url: str, read_file: Open) -> Count | None:
    """The count in `00000_stats.json` beside `00000.tar`; None where there is no such file. Raises TarError where it says none."""
    beside = url.removesuffix(".tar") + IMG2DATASET
    content = read_file(beside)
    if content is None:
        return None
    stats, name = _json(content), base_name(beside)
    count = stats.get("successes") if isinstance(stats, dict) else None
    if not isinstance(count, int):
        raise TarError(f"has {name} beside it, which says no number of successes {REMEDY}")
    return Count(count, name)


def wids_counts(url: str, content: bytes) -> Mapping[str, Count]:
    """Base name of a shard -> count, by the wids JSON at `url`; empty where it is another JSON file."""
    found = _json(content)
    rows: Any = found.get("shardlist") if isinstance(found, dict) else found
    counts = {}
    for row in rows if isinstance(rows, list) else ():
        if not (isinstance(row, dict) and isinstance(row.get("url"), str) and isinstance(row.get("nsamples"), int)):
            return {}
        size = row.get("filesize")
        counts[posixpath.basename(row["url"])] = Count(row["nsamples"], base_name(url), size if isinstance(size, int) else None)
    return counts


def energon_scan(url: str, read_file: Open, *, read: Read, size: int) -> Scan | None:
    """The starts of samples in `x.tar.idx` beside `x.tar` (u64 bytes, little-endian, and the end); None where there is no such file.

    What is before the first sample, eight pairs of neighbours, the last sample and the end are read, and have to be just that.
    Raises TarError.
    """
    content = read_file(url + ENERGON)
    if content is None:
        return None
    name = base_name(url) + ENERGON
    starts = np.frombuffer(content[: len(content) // 8 * 8], "<u8").astype(np.int64)
    if len(content) % 8 or not len(starts) or starts[0] < 0 or np.any(np.diff(starts) <= 0) or np.any(starts % BLOCK):
        raise TarError(f"has {name} beside it, which holds no rising starts of samples {REMEDY}")
    if starts[-1] >= size:
        raise TarError(f"has {size} bytes where {name} says more than {starts[-1]} {REMEDY}")
    if len(starts) == 1:
        found = scan(read, size)
        Count(0, name).check(samples=len(found.starts) - 1, size=size)
        return found
    try:
        probes = _probes(starts, size, read)
    except TarError as error:
        raise TarError(f"has {name} beside it, which does not fit: from a start of that file on it {error} {REMEDY}") from error
    if any(probe.samples != probe.expected for probe in probes):
        raise TarError(f"has {name} beside it, which does not fit: a sample of that file is none, or several {REMEDY}")
    suffixes = {suffix for probe in probes for suffix in probe.suffixes}
    return Scan(np.append(starts[:-1] // BLOCK, probes[-1].end).astype(np.uint32), tuple(sorted(suffixes)), 0)


@dataclasses.dataclass(frozen=True)
class Stretch:
    """What lies in a stretch of a tar: samples, suffixes of their members, and the block where the last one ends; and what should."""

    samples: int
    expected: int
    suffixes: tuple[str, ...]
    end: int


def _probes(starts: np.ndarray, size: int, read: Read) -> list[Stretch]:
    """What is before the first sample, pairs of neighbours evenly spread, and the last sample with the end of the tar."""
    count = len(starts) - 1
    firsts = np.unique(np.linspace(0, count - 2, PROBES if count > 1 else 0).astype(int))
    pairs = [_stretch(stretch, read, int(starts[first]), int(starts[first + 2]), expected=2) for first in firsts]
    before = _stretch(stretch, read, 0, int(starts[0]), expected=0)
    return [before, *pairs, _stretch(archive, read, int(starts[-2]), size, expected=1)]


def _stretch(walk: Callable[[Read, int], Iterable[Member]], read: Read, start: int, stop: int, *, expected: int) -> Stretch:
    """The bytes start .. stop - 1 of a tar as `walk` (`stretch`, or `archive` at the end) reads them. Raises TarError."""
    samples, suffixes, end = 0, set[str](), start
    for part in parts(walk(lambda offset, size: read(start + offset, min(size, stop - start - offset)), stop - start)):
        samples += part.begins
        suffixes.add(part.suffix)
        end = start + part.member.end
    return Stretch(samples, expected, tuple(suffixes), -(-end // BLOCK))


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
