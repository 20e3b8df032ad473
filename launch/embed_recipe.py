"""`diptych embed --config`: the training data of a recipe through its locked image tower, into the folder that `data.embeddings` names."""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..pretrain.recipe import load_recipe
from .arguments import check_out_file, given_config
from .report import print_values


def run_recipe(args: argparse.Namespace) -> dict[str, Any]:
    """Writes the parts that are not there yet; returns how many there were, of how many samples."""
    for name, given in (("MODEL", args.model), ("--images", args.images), ("--texts", args.texts)):
        if given is not None:
            raise UserError(f"{name} = {given} does not go with --config = {args.config}; accepted is one of the two")
    parts, part = 1 if args.parts is None else args.parts, args.part
    if parts < 1:
        raise UserError(f"--parts = {parts} is out of range; accepted is a number from 1")
    if part is not None and not 0 <= part < parts:
        raise UserError(f"--part = {part} is out of range; accepted is 0 to --parts - 1 = {parts - 1}")
    recipe, out = load_recipe(given_config(args), args.overrides), Path(args.out)
    if out.suffix == ".npz":
        raise UserError(
            f"--out = {out} is the name of a file, and --config = {args.config} fills a folder; accepted is one to make or go on with"
        )
    check_out_file(out / "parts")

    from ..pretrain.embed_data import embed_training_data

    began = time.monotonic()
    found = embed_training_data(recipe, out, parts=parts, part=part, track=shown)
    result = {**dataclasses.asdict(found), "out": str(out), "seconds": time.monotonic() - began}
    print_values(result)
    return result


def shown(starts: range) -> Any:
    """The numbers under a progress bar."""
    from rich.console import Console
    from rich.progress import track

    return track(starts, description="images", console=Console(stderr=True), transient=True)
