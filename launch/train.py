"""`diptych train`: a recipe, from the start or from the newest checkpoint of its run folder."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..errors import UserError
from ..pretrain.recipe import identity_hash, load_recipe
from ..pretrain.spec import Recipe
from ..schema import to_dict
from .arguments import add_config, add_workdir, check_workdir, given_config, given_workdir
from .report import print_values


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `train`."""
    add_config(parser)
    add_workdir(parser, what="the run folder; the same command again goes on with the run in it")
    parser.add_argument("--profile", metavar="START:STOP", help="trace steps START to STOP into the run folder")
    parser.add_argument("--force-data", action="store_true", help="go on though the data differ from the checkpoint's")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the resolved recipe, judge it as a run does before it compiles, and stop"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Trains; returns the final metrics. With `--dry-run` as `try_out`."""
    recipe = load_recipe(given_config(args), args.overrides)
    steps = profiled_steps(args.profile, total=recipe.train.steps)
    if args.dry_run:
        return try_out(recipe, args)
    workdir = check_workdir(given_workdir(args))

    from .distributed import initialize, is_first

    initialize()
    from ..pretrain.tracer import Profile
    from ..pretrain.train import train

    traced = None if steps is None else Profile(*steps)
    metrics = train(recipe, workdir, profile=traced, interrupts=args.interrupts, force_data=args.force_data)
    if is_first():
        print_values(metrics, title=str(workdir))
    return metrics


def try_out(recipe: Recipe, args: argparse.Namespace) -> dict[str, Any]:
    """Prints the recipe, then judges what a run judges before it compiles; returns the recipe and its hash. `--workdir` may be absent."""
    if args.workdir is not None:
        check_workdir(args.workdir)
    from .distributed import initialize, is_first

    initialize()
    if is_first():
        print(json.dumps(to_dict(recipe), indent=1), flush=True)
    from ..pretrain.dry_run import dry_run

    dry_run(recipe, args.workdir, force_data=args.force_data)
    return {"recipe": to_dict(recipe), "hash": identity_hash(recipe)}


def profiled_steps(text: str | None, *, total: int) -> tuple[int, int] | None:
    """`START:STOP` as two steps of `total`."""
    if text is None:
        return None
    start, _, stop = text.partition(":")
    if not (start.isdecimal() and stop.isdecimal() and int(start) < int(stop)):
        raise UserError(f"--profile = {text} is not a range of steps; accepted is START:STOP, such as 10:15")
    if int(start) >= total:
        raise UserError(f"--profile = {text} begins after the last step; accepted is a START below train.steps = {total}")
    return int(start), int(stop)
