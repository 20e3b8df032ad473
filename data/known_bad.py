"""Which samples of evaluation data are bad: found by decoding all of them once, and remembered in the cache folder."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import PIL

from .captions import caption_members
from .image_presets import preprocessing
from .index import Index
from .merges import cache_folder
from .spec import DataSpec

VERSION = 2


def known_bad(index: Index, spec: DataSpec, *, find: Callable[[], Sequence[int]]) -> list[int]:
    """The numbers of the samples that `find` finds bad, rising. It is called where these shards were not looked through before.

    Shards are known by place, size and version, as long as Pillow's version and what `spec` asks of a sample are the same: its texts, and
    how its image is decoded and resized, which decides what is too elongated.
    """
    file = cache_folder() / "eval" / f"{_key(index, spec)}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):  # absent, or not written by us
        return list(map(int, json.loads(file.read_text())["bad"]))
    bad = sorted(find())
    with contextlib.suppress(OSError):  # the next start looks again
        _write(file, {"bad": bad, "shards": [shard.url for shard in index.shards]})
    return bad


def _key(index: Index, spec: DataSpec) -> str:
    shards = [[shard.url, shard.bytes, shard.etag, shard.samples] for shard in index.shards]
    image = [dataclasses.asdict(spec.decode), dataclasses.asdict(preprocessing(spec))]
    asked = [VERSION, PIL.__version__, sorted(caption_members(spec)), image]
    return hashlib.sha256(json.dumps([asked, shards]).encode()).hexdigest()[:32]


def _write(file: Path, values: dict[str, Any]) -> None:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{uuid.uuid4().hex}")
    part.write_text(json.dumps(values))
    os.replace(part, file)
