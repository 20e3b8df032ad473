"""`diptych export`: a run's encoders as a folder that `diptych.load` and other programs read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..pretrain.run_folder import read_run
from .arguments import add_workdir, given_workdir
from .report import print_values


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `export`."""
    add_workdir(parser, what="the folder of the run")
    parser.add_argument("--out", type=Path, help="the folder to write")
    parser.add_argument("--step", type=int, help="the checkpoint (the newest)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Exports; returns what was written."""
    workdir = given_workdir(args)
    if args.out is None:
        raise UserError("--out is not given; accepted is the folder to write the model to")
    read_run(workdir)

    from ..pretrain.export.export import export_run

    result = export_run(workdir, args.out, step=args.step)
    print_values(result, title=str(args.out))
    return result
