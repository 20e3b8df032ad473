"""`diptych plan`: a recipe's training step, compiled for hardware that is not there, and weighed."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import configs
from ..errors import UserError
from ..pretrain.recipe import load_recipe
from .arguments import add_config, add_workdir, check_out_file, check_workdir, given_config

if TYPE_CHECKING:
    from ..sharding.plan_cache import PlanCache
    from .plan_result import RecipePlan

LOG = logging.getLogger("diptych")
GOALS = ("batch", "speed")
COMPILES = 8
GOLDEN = Path("tests/golden")
PICTURES = (".png", ".svg", ".pdf")  # matplotlib writes others, some with programs that may not be there


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `plan`."""
    add_config(parser)
    parser.add_argument("--topology", metavar="NAME:SIZE", help="v5e:16x16, v5p:8x8x16, v6e:16x16*2 (slices), h100:64x8 (nodes x GPUs) ...")
    parser.add_argument("--search", choices=GOALS, help="the largest batch that fits, or the fastest remat policy and mesh")
    parser.add_argument("--compiles", type=int, metavar="N", help=f"how many steps --search may compile ({COMPILES})")
    parser.add_argument("--split", action="store_true", help="compile the towers alone too, to tell the loss's memory from theirs")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw memory and roofline")
    add_workdir(parser, what="keep the plan in this run folder: diptych train compares its own step with it")
    parser.add_argument("--golden", action="store_true", help=f"make the files of {GOLDEN} anew, of all recipes or that of --config")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Compiles, weighs and prints; returns what `--json` prints."""
    if args.golden:
        return remake_goldens(args)
    recipe, topology_name = load_recipe(given_config(args), args.overrides), given_topology(args)
    if args.compiles is not None and args.compiles < 1:
        raise UserError(f"--compiles = {args.compiles} is out of range; accepted is an integer from 1 on")
    if args.compiles is not None and args.search is None:
        raise UserError(f"--compiles = {args.compiles} is of --search, which is absent; accepted is --search {' or '.join(GOALS)}")
    if args.plot is not None:
        check_plot_file(args.plot)
    workdir = None if args.workdir is None else check_workdir(args.workdir)

    cache = compile_only()
    from ..sharding.topology import find_topology
    from .plan_frontier import frontier_rows, print_frontier
    from .plan_recipe import plan_recipe, split_temporaries
    from .plan_result import collectives_of, values_of
    from .plan_search import search
    from .plan_tables import print_plan
    from .plan_tried import best

    topology, rows = find_topology(topology_name), []
    if args.search:
        tried = search(args.search, recipe, topology, compiles=args.compiles or COMPILES, report=report, cache=cache)
        found, rows = best(tried, goal=args.search), frontier_rows(tried.found)
    else:
        found = plan_recipe(recipe, topology, cache=cache)
    values = values_of(found)
    if args.split:
        values |= split_temporaries(found, cache=cache)
    print_plan(found, values)
    if rows:
        steps, goal = f"{len(rows)} step{'s' if len(rows) > 1 else ''}", "largest batch" if args.search == "batch" else "fastest step"
        print_frontier(rows, title=f"{steps} compiled for the {goal}")
        values["frontier"] = rows
    values |= {"collectives": collectives_of(found.plan), "argument_bytes": dict(found.plan.arguments)}
    if workdir is not None:
        keep_plan(workdir, values)
    if args.plot is not None:
        from .plan_plot import draw_plan

        draw_plan(values, args.plot)
    return values


def report(found: RecipePlan) -> None:
    """One line a step of a search."""
    from .plan_result import GIB

    mesh, fits = " x ".join(map(str, found.plan.mesh.values())), "fits" if found.plan.fits else "does not fit"
    train, needed = found.recipe.train, found.plan.weight.needed / GIB
    LOG.info("batch %d, remat %s, mesh %s: %.2f GiB, %s", train.batch_size, train.remat, mesh, needed, fits)


def given_topology(args: argparse.Namespace) -> str:
    """`--topology`; UserError where it was not given."""
    if args.topology is None:
        raise UserError("--topology is not given; accepted is NAME:SIZE, such as v5e:16x16 or h100:64x8")
    return args.topology


def check_plot_file(path: Path) -> None:
    """Before the step compiles, whether `--plot` can be written; UserError where not, or where its suffix is no kind of picture."""
    if path.suffix not in PICTURES:
        raise UserError(f"--plot = {path} is no picture; accepted is a file that ends in {', '.join(PICTURES[:-1])} or {PICTURES[-1]}")
    check_out_file(path, argument="--plot")


def compile_only() -> PlanCache:
    """Leaves the accelerators of this machine alone: nothing runs. Returns where plans are kept."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    from ..data.merges import cache_folder
    from ..sharding.plan_cache import PlanCache

    return PlanCache(cache_folder() / "plans")


def keep_plan(workdir: Path, values: dict[str, Any]) -> None:
    """Writes it where `diptych train` looks for it."""
    from ..pretrain.planned import PLAN
    from ..pretrain.results import plain
    from ..pretrain.run_folder import write_atomically

    workdir.mkdir(parents=True, exist_ok=True)
    write_atomically(workdir / PLAN, json.dumps(plain(values)) + "\n")


def check_golden(args: argparse.Namespace) -> None:
    """Raises UserError for an argument that `--golden` has no use for: its recipes, topologies and overrides are fixed."""
    given = {name: getattr(args, name) for name in ("topology", "search", "compiles", "plot", "workdir")}
    words = [f"--{name} = {value}" for name, value in given.items() if value is not None] + ["--split"] * args.split
    words += [f"--config.{override}" for override in args.overrides]
    if words:
        raise UserError(
            f"{words[0]} does not go with --golden, which compiles what the test suite does; accepted is --config NAME or nothing"
        )


def remake_goldens(args: argparse.Namespace) -> dict[str, Any]:
    """The files of `tests/golden`. UserError for an argument that would make others of them than the test suite compares with."""
    check_golden(args)
    if not GOLDEN.is_dir():
        raise UserError(f"--golden finds no folder {GOLDEN} here; accepted is to run it in a checkout of diptych")
    if args.config is not None and args.config not in configs.names():
        raise UserError(f"--golden --config = {args.config} is no recipe of diptych; accepted are {', '.join(configs.names())}")
    compile_only()
    from .plan_golden import write_goldens

    written = write_goldens(GOLDEN, (args.config,) if args.config else tuple(configs.names()))
    print("\n".join(written))
    return {"written": written}
