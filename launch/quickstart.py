"""`diptych quickstart`: from nothing to a trained, evaluated and exported CLIP, on rendered scenes of coloured shapes."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

from ..pretrain.check_devices import fitting_mesh
from ..pretrain.recipe import load_recipe
from ..pretrain.spec import Recipe
from .arguments import check_workdir


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `quickstart`."""
    parser.add_argument("--workdir", type=Path, default=Path("diptych-quickstart"), help="where everything goes; rerunning goes on")
    parser.set_defaults(overrides=())


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Renders, trains, evaluates, exports and draws; returns the held-out metrics beside chance, and the seconds all of it took."""
    start = time.monotonic()
    folder = args.workdir / "data"
    recipe = on_fitting_devices(load_recipe(f"quickstart:{folder}", args.overrides))
    workdir = check_workdir(args.workdir)

    from ..pretrain.export.export import export_run
    from ..pretrain.metrics_table import COLUMNS, metrics_rows
    from ..pretrain.table import print_table
    from ..pretrain.train import train
    from .quickstart_data import draw_similarity, prepare_data

    prepare_data(folder, vocab_size=recipe.model.text.vocab_size)
    metrics = train(recipe, workdir, interrupts=args.interrupts)
    out = export_run(workdir, workdir / "export")
    draw_similarity(workdir / "export", folder, workdir / "plots" / "similarity.png")
    heldout = {name: value for name, value in metrics.items() if "/" in name}
    print_table(COLUMNS, metrics_rows(heldout), title="held-out scenes, colours and shapes never seen together")
    print(f"exported: {out['path']}   plots: {workdir / 'plots'}   seconds: {time.monotonic() - start:.0f}")
    return {
        **{name: metrics[f"heldout/{name}"] for name in ("i2t_r1", "t2i_r1", "i2t_r5", "t2i_r5", "candidates", "chance")},
        "zero_shot_top1": metrics["shapes/top1"],
        "zero_shot_chance": metrics["shapes/chance"],
        "seconds": time.monotonic() - start,
    }


def on_fitting_devices(recipe: Recipe) -> Recipe:
    """The recipe on as many of the devices as divide its batch and its towers; says so where that is not all of them."""
    import jax

    count = jax.device_count()
    mesh = fitting_mesh(recipe, device_count=count)
    used = mesh.replica * mesh.fsdp * mesh.tensor
    if used < count:
        sizes = ", ".join(f"mesh.{axis} = {size}" for axis, size in dataclasses.asdict(mesh).items())
        print(f"training on {used} of {count} devices ({sizes}): the batch and the towers are divided evenly", file=sys.stderr)
    return dataclasses.replace(recipe, mesh=mesh)
