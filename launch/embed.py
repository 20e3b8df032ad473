"""`diptych embed`: unit vectors of images and texts, from an exported model into one .npz, or of a recipe's training data into a cache."""

from __future__ import annotations

import argparse
import contextlib
import glob
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from ..errors import UserError
from .arguments import add_config, cannot_write, check_out_file
from .embed_recipe import run_recipe
from .report import print_values

BATCH = 256
SUFFIX = ".npz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `embed`."""
    parser.add_argument("model", metavar="MODEL", type=Path, nargs="?", help="the folder that `diptych export` wrote")
    parser.add_argument("--images", metavar="GLOB", help="images, such as 'photos/**/*.jpg'")
    parser.add_argument("--texts", metavar="FILE", type=Path, help="a text a line")
    parser.add_argument(
        "--out", metavar="FILE.npz|FOLDER", type=Path, help="the file to write; of a recipe the folder, for data.embeddings"
    )
    add_config(parser)
    parser.add_argument("--parts", metavar="N", type=int, help="files that a source's embeddings are divided into (1)")
    parser.add_argument("--part", metavar="I", type=int, help="the one of them, from 0, that is written (all)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Writes `image_paths` and `image` float32[n, E], `texts` and `text` float32[m, E], whichever was asked for; returns the counts.

    With `--config` as `run_recipe`.
    """
    if args.out is None:
        raise UserError("--out is not given; accepted is the .npz file to write, or with --config the folder")
    if args.config is not None:
        return run_recipe(args)
    for name, given in (("--parts", args.parts), ("--part", args.part)):
        if given is not None:
            raise UserError(f"{name} = {given} is of --config, which is not given; accepted is none, or a recipe with data to embed")
    if args.model is None:
        raise UserError("MODEL is not given; accepted is the folder that `diptych export` wrote, or --config")
    paths, texts = find_images(args.images), read_texts(args.texts)
    if paths is None and texts is None:
        raise UserError("--images and --texts are both absent; accepted is one of them, or both")
    check_out_file(args.out)
    if args.out.suffix != SUFFIX:
        raise UserError(
            f"--out = {args.out} does not end in {SUFFIX}, the format that is written; accepted is a name such as embeddings{SUFFIX}"
        )

    from ..pretrain.export.encoder import open_model

    encoder = open_model(args.model, setting="MODEL")
    arrays: dict[str, np.ndarray] = {}
    if paths is not None:
        arrays |= {"image_paths": np.array(paths), "image": in_batches(encoder.encode_image, paths, what="images")}
    if texts is not None:
        arrays |= {"texts": np.array(texts), "text": in_batches(encoder.encode_text, texts, what="texts")}
    write(args.out, arrays)
    result = {"images": len(paths or ()), "texts": len(texts or ()), "out": str(args.out)}
    print_values(result)
    return result


def find_images(pattern: str | None) -> list[str] | None:
    """The files that match, sorted; UserError where there is none."""
    if pattern is None:
        return None
    paths = sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))
    if not paths:
        raise UserError(f"--images = {pattern} matches no file; accepted is a pattern such as 'photos/*.jpg', in quotes")
    return paths


def read_texts(path: Path | None) -> list[str] | None:
    """The lines of a file; UserError where it is not there or holds none."""
    if path is None:
        return None
    try:
        texts = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--texts = {path} cannot be read ({error}); accepted is a UTF-8 file with a text a line") from None
    if not texts:
        raise UserError(f"--texts = {path} is empty; accepted is a UTF-8 file with a text a line")
    return texts


def in_batches(encode: Callable[[Sequence[str]], np.ndarray], items: list[str], *, what: str) -> np.ndarray:
    """`encode` over all items, under a progress bar: float32[n, E]."""
    starts = range(0, len(items), BATCH)
    bar = track(starts, description=what, console=Console(stderr=True), transient=True)
    return np.concatenate([np.asarray(encode(items[start : start + BATCH]), np.float32) for start in bar])


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """The whole file or none."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(part, path)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
