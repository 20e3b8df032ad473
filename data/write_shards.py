"""Samples as WebDataset shards, in a folder that appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import webdataset

NO_LIMIT = 1 << 40  # bytes: shards are cut by their number of samples alone


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder` that becomes it when the block ends well, and goes away when it does not. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield partial
        partial.chmod(0o755)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_shards(pattern: Path, samples: Iterable[tuple[str, Mapping[str, bytes]]], *, per_shard: int) -> None:
    """(key, members by suffix) of each sample, in order, to the tars `pattern % 0`, `pattern % 1`, ...; the same give the same bytes."""
    with webdataset.ShardWriter(str(pattern), maxcount=per_shard, maxsize=NO_LIMIT, verbose=0, encoder=False, mtime=0.0) as shards:
        for key, members in samples:
            shards.write({"__key__": key, **members})
