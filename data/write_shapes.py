"""The data set of coloured shapes as WebDataset shards."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from ..errors import UserError
from .draw_shapes import render
from .shapes import Scene, caption, heldout_scenes, train_scenes
from .write_shards import whole_folder, write_shards

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
    parts = (
        ("train", train_scenes(train_samples, seed=seed), SHARD_SAMPLES),
        ("heldout", heldout_scenes(heldout_samples, seed=seed), heldout_samples),
    )
    done = _counted(progress, train_samples + heldout_samples)
    with whole_folder(folder) as partial:
        for name, scenes, per_shard in parts:
            write_shards(partial / f"shapes-{name}-%05d.tar", _samples(scenes, size=size, done=done), per_shard=per_shard)
        (partial / STAMP).write_text(json.dumps(stamp, indent=1) + "\n")


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


def _samples(scenes: Iterable[Scene], *, size: int, done: Iterator[None]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Key and members of each scene."""
    for number, scene in enumerate(scenes):
        yield f"{number:08d}", members_of_scene(scene, size)
        next(done)


def members_of_scene(scene: Scene, size: int) -> dict[str, bytes]:
    """png (`size` x `size`), txt and json of one scene."""
    first, png = scene.first, io.BytesIO()
    Image.fromarray(render(scene, size)).save(png, "png", compress_level=1)
    facts = {"class": first.name, "colour": first.colour, "shape": first.shape, "size": first.size, "count": first.count}
    facts["relation"] = scene.relation or ""
    return {"png": png.getvalue(), "txt": caption(scene).encode(), "json": json.dumps(facts).encode()}
