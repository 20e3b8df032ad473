"""`diptych plan`: a recipe's training step, compiled for hardware that is not there, and weighed."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import UserError
from ..pretrain.recipe import load_recipe
from .arguments import add_config, given_config
from .report import print_values


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `plan`."""
    add_config(parser)
    parser.add_argument(
        "--topology", metavar="NAME:SIZE", help="such as v5e:16x16, v5p:8x8x16, v6e:16x16*2 (slices), h100:64x8 (nodes x GPUs)"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Compiles and weighs."""
    recipe = load_recipe(given_config(args), args.overrides)
    if args.topology is None:
        raise UserError("--topology is not given; accepted is NAME:SIZE, such as v5e:16x16 or h100:64x8")

    import jax

    jax.config.update("jax_platforms", "cpu")
    from ..pretrain.check_devices import check_devices
    from ..pretrain.lowering import lower_step
    from ..pretrain.table import print_table
    from ..sharding.plan import weigh
    from ..sharding.topology import arranged, find_topology

    topology = find_topology(args.topology)
    sizes = check_devices(recipe, device_count=len(topology.devices))
    mesh = arranged(topology, sizes)
    weight = weigh(lower_step(recipe, mesh, platform=topology.hardware.platform), mesh.shape)
    gib = 2**30
    values = {"peak_hbm_gib": weight.needed / gib, "fits": weight.needed <= topology.hardware.hbm_bytes}
    if weight.memory:
        values |= {"arguments_gib": weight.memory.arguments / gib, "temporaries_gib": weight.memory.temporaries / gib}
    values["compile_seconds"] = weight.compile_seconds
    print_values(values, title=f"{recipe.name or args.config} on {topology.name}, mesh {dict(mesh.shape)}")
    rows = [
        (each.kind, "+".join(each.axes), each.group, each.count, each.bytes / 2**20, each.wire_bytes / 2**20) for each in weight.traffic
    ]
    print_table(("collective", "axes", "devices", "a step", "MiB", "MiB sent"), rows)
    return values
