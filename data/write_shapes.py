"""The data set of coloured shapes as WebDataset shards."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import webdataset
from PIL import Image

from ..errors import UserError
from .draw_shapes import render
from .shapes import Scene, caption, heldout_scenes, train_scenes

VERSION = 1
STAMP = "shapes.json"
SHARD_SAMPLES = 2000


def write_shapes(
    folder: Path,
    *,
    train_samples: int,
    heldout_samples: int,
    size: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Writes `shapes-train-*.tar` and `shapes-heldout-00000.tar` into `folder`, which appears whole or not at all.

    A finished folder of the same parameters is kept as it is.
    Members: png (size x size), txt, json (colour, shape, class, count and size of the first group; relation, empty for one group).
    progress: called with (samples written, samples in all). Raises UserError where `folder` holds anything else.
    """
    stamp = {"version": VERSION, "train_samples": train_samples, "heldout_samples": heldout_samples, "size": size, "seed": seed}
    folder = Path(folder)
    if _is_finished(folder, stamp):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        done = _counted(progress, train_samples + heldout_samples)
        _write(partial / "shapes-train-%05d.tar", train_scenes(train_samples, seed=seed), size=size, done=done, per_shard=SHARD_SAMPLES)
        _write(
            partial / "shapes-heldout-%05d.tar", heldout_scenes(heldout_samples, seed=seed), size=size, done=done, per_shard=heldout_samples
        )
        (partial / STAMP).write_text(json.dumps(stamp, indent=1) + "\n")
        partial.chmod(0o755)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_finished(folder: Path, stamp: dict[str, Any]) -> bool:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    file = folder / STAMP
    if file.is_file() and json.loads(file.read_text()) == stamp:
        return True
    raise UserError(f"the folder {str(folder)!r} holds other files than shapes of {stamp}; accepted is an empty or absent folder")


def _counted(progress: Callable[[int, int], None] | None, total: int) -> Iterator[None]:
    """Reports with each next() that one more sample is written."""
    for written in itertools.count(1):
        if progress is not None:
            progress(written, total)
        yield


def _write(pattern: Path, scenes: Iterable[Scene], *, size: int, done: Iterator[None], per_shard: int) -> None:
    with webdataset.ShardWriter(str(pattern), maxcount=per_shard, maxsize=1 << 40, verbose=0, encoder=False, mtime=0.0) as shards:
        for number, scene in enumerate(scenes):
            shards.write({"__key__": f"{number:08d}", **members_of_scene(scene, size)})
            next(done)


def members_of_scene(scene: Scene, size: int) -> dict[str, bytes]:
    """png (`size` x `size`), txt and json of one scene."""
    first, png = scene.first, io.BytesIO()
    Image.fromarray(render(scene, size)).save(png, "png", compress_level=1)
    facts = {"class": first.name, "colour": first.colour, "shape": first.shape, "size": first.size, "count": first.count}
    facts["relation"] = scene.relation or ""
    return {"png": png.getvalue(), "txt": caption(scene).encode(), "json": json.dumps(facts).encode()}
