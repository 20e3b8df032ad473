"""`diptych eval`: the evaluations of a run's recipe on one of its checkpoints."""

from __future__ import annotations

import argparse
from typing import Any

from ..pretrain.run_folder import read_run
from .arguments import add_workdir, given_workdir


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `eval`."""
    add_workdir(parser, what="the folder of the run")
    parser.add_argument("--step", type=int, help="the checkpoint (the newest)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluates (which prints the table); returns the metrics."""
    workdir = given_workdir(args)
    read_run(workdir)

    from .distributed import initialize

    initialize()
    from ..pretrain.evaluate import evaluate_run

    return evaluate_run(workdir, step=args.step)
