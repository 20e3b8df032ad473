"""`diptych plan`: a recipe's training step, compiled for hardware that is not there, and weighed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..pretrain.recipe import load_recipe
from .arguments import add_config, check_out_file, given_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `plan`."""
    add_config(parser)
    parser.add_argument("--topology", metavar="NAME:SIZE", help="v5e:16x16, v5p:8x8x16, v6e:16x16*2 (slices), h100:64x8 (nodes x GPUs) ...")
    parser.add_argument("--split", action="store_true", help="compile the towers alone too, to tell the loss's memory from theirs")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw memory and roofline")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Compiles, weighs and prints; returns what `--json` prints."""
    recipe = load_recipe(given_config(args), args.overrides)
    topology_name = given_topology(args)
    if args.plot is not None:
        check_out_file(args.plot)

    import jax

    jax.config.update("jax_platforms", "cpu")  # nothing runs: an accelerator of this machine is left alone
    from ..sharding.plan_cache import PlanCache
    from ..sharding.topology import find_topology
    from .plan_recipe import plan_recipe, split_temporaries
    from .plan_result import collectives_of, values_of
    from .plan_tables import print_plan

    cache = PlanCache(cache_folder())
    topology = find_topology(topology_name)
    found, mesh = plan_recipe(recipe, topology, cache=cache)
    values = values_of(found)
    if args.split:
        values |= split_temporaries(found, mesh, cache=cache)
    print_plan(found, values, mesh)
    if args.plot is not None:
        from .plan_plot import draw_plan

        draw_plan(values, args.plot)
    return values | {"collectives": collectives_of(found.plan)}


def given_topology(args: argparse.Namespace) -> str:
    """`--topology`; UserError where it was not given."""
    if args.topology is None:
        raise UserError("--topology is not given; accepted is NAME:SIZE, such as v5e:16x16 or h100:64x8")
    return args.topology


def cache_folder() -> Path:
    """Where plans are kept."""
    from ..data.merges import cache_folder as folder

    return folder() / "plans"
