"""`diptych sweep`: a recipe under several settings, one run after the other, each in a folder of its own.

A recipe file may hold `def sweep()` that returns the axes, `{"optimizer.peak_lr": [3e-4, 1e-3]}` (their cross product), or the points, a
list of `{path: value}`. Rerunning the command goes on with what is unfinished.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import Stopped
from ..pretrain.recipe import load_recipe
from ..pretrain.recipe_file import load_module
from ..pretrain.results import drop_result, read_result, write_json
from ..pretrain.run_folder import read_run
from ..pretrain.same_run import check_identity
from ..pretrain.spec import Recipe
from ..pretrain.table import print_table
from .arguments import add_config, add_workdir, check_workdir, given_config, given_workdir
from .axes import SweepRun, plan
from .child import run_child
from .sweep_plot import draw_sweep
from .sweep_result import RunResult, SweepResult, measure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `sweep`."""
    add_config(parser)
    add_workdir(parser, what="the folder of the sweep; each run gets a folder in it")
    parser.add_argument("--axis", action="append", default=[], metavar="PATH=V1,V2", help="a setting and its values; several are crossed")
    parser.add_argument("--dry-run", action="store_true", help="list the runs and stop")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Runs what is unfinished; returns the metric, the best run and every run's value."""
    config = given_config(args)
    runs = plan(args.axis, load_module(config)[0])
    recipes = [load_recipe(config, [*args.overrides, *run.overrides]) for run in runs]
    if args.dry_run:
        print_table(("run", "settings"), [(run.id, " ".join(run.overrides)) for run in runs])
        return {"runs": [{"id": run.id, "settings": run.settings} for run in runs]}
    workdir = check_workdir(given_workdir(args))
    for each, recipe in zip(runs, recipes):
        check_identity(workdir / each.id, recipe)
    for number, (each, recipe) in enumerate(zip(runs, recipes), start=1):
        print(f"run {number}/{len(runs)}: {each.id}", file=sys.stderr, flush=True)
        finish(each, recipe, workdir / each.id, config=config, overrides=args.overrides)
    return report(workdir, collect(runs, recipes, workdir))


def finished(folder: Path, recipe: Recipe) -> bool:
    """Whether the run in a folder has ended, at no fewer steps than are asked for now."""
    return bool(read_result(folder)) and read_run(folder)["recipe"]["train"]["steps"] >= recipe.train.steps


def finish(each: SweepRun, recipe: Recipe, folder: Path, *, config: str, overrides: Sequence[str]) -> None:
    """Trains one run to its end in a process of its own, so that each starts with fresh devices; Stopped where it does not get there."""
    if finished(folder, recipe):
        return
    drop_result(folder)  # of a shorter run: with it gone, an interrupted longer one does not pass for finished
    settings = [f"--config.{override}" for override in [*overrides, *each.overrides]]
    code = run_child([sys.executable, "-m", "diptych.launch.cli", "train", f"--config={config}", *settings, f"--workdir={folder}"])
    if code:
        raise Stopped(f"the sweep stopped at run {each.id}, which ended with code {code} as said above", code=code)


def collect(runs: Sequence[SweepRun], recipes: Sequence[Recipe], workdir: Path) -> SweepResult:
    """What the finished runs measured."""
    results = [read_result(workdir / run.id) for run in runs]
    metric = recipes[0].eval.metric or "loss"
    return SweepResult(
        metric=metric,
        lower_is_better=lower_is_better(recipes[0]),
        runs=tuple(
            RunResult(id=run.id, settings=run.settings, value=measure(result, metric), metrics=result) for run, result in zip(runs, results)
        ),
    )


def lower_is_better(recipe: Recipe) -> bool:
    """Of the metric that the runs are compared by: its evaluator says so; without one it is the training loss."""
    if recipe.eval.metric is None:
        return True
    from ..pretrain.evaluators.registry import EVALUATORS

    task, _, name = recipe.eval.metric.partition("/")
    return EVALUATORS[recipe.eval.tasks[task].kind].lower_is_better(name)


def report(workdir: Path, result: SweepResult) -> dict[str, Any]:
    """Prints the table, writes `sweep.json` and `sweep.png`."""
    paths = result.paths
    columns = dict.fromkeys((result.metric, "loss"))
    rows = [(*(run.settings.get(path) for path in paths), *(run.metrics.get(name) for name in columns)) for run in result.runs]
    print_table((*paths, *columns), rows, title=f"{workdir}: best is {result.best.id if result.best else 'none'}")
    summary = result.summary()
    write_json(workdir / "sweep.json", summary)
    draw_sweep(result, workdir / "sweep.png")
    return summary
