"""The table of docs/planner.md: the package's pretraining recipes, planned for a slice of TPUs and for GPU nodes.

usage: python benchmarks/plan_table.py [--only NAME@TOPOLOGY ...]

Each plan is `diptych plan --json` in a process of its own, one after the other, so that the seconds of a compile are its own too; rows are
printed as they come, what a plan took on stderr. Steps whose plan is kept in $DIPTYCH_CACHE are not compiled again. Needs libtpu and jax's
CUDA plugin (extras plan and plan_gpu); --only takes any recipe and topology, with the table's settings where it is in the table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

RECIPES = ("clip_vit_b16", "clip_vit_l14", "siglip_vit_b16", "siglip_so400m_14", "coca_2b")
TOPOLOGIES = ("v5e:16x16", "h100:64x8")
OVERRIDES = {"siglip_vit_b16@v5e:16x16": ("--config.train.remat=full",)}  # as big_vision's, beside which the page puts it
PROGRAM = (sys.executable, "-c", "import sys; from diptych.launch.cli import main; sys.exit(main())")
BINDS = {"compute": "compute", "hbm": "HBM", "link": "links", "network": "network"}
COLUMNS = (
    *("recipe", "topology", "batch", "mesh", "remat", "peak GiB", "of GiB", "compute, HBM, links, network (ms)", "binds"),
    *("MFU ceiling", "samples/s", "days"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME@TOPOLOGY", help="these plans instead of the table's")
    wanted = parser.parse_args().only or [f"{name}@{topology}" for topology in TOPOLOGIES for name in RECIPES]
    print(line(COLUMNS))
    print(f"|{'---|' * len(COLUMNS)}", flush=True)
    made = [print_row(each) for each in wanted]
    return 0 if all(made) else 1


def print_row(wanted: str) -> bool:
    """Plans NAME@TOPOLOGY and prints its row; whether that was made."""
    name, _, topology = wanted.partition("@")
    start = time.perf_counter()
    command = [*PROGRAM, "plan", "--config", name, "--topology", topology, "--json", *OVERRIDES.get(wanted, ())]
    ran = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if ran.returncode:
        print(f"{wanted}: exit {ran.returncode} after {seconds:.0f} s\n{ran.stderr[-2000:]}", file=sys.stderr)
        return False
    values = json.loads(ran.stdout.splitlines()[-1])
    print(line(row(values)), flush=True)
    print(f"{wanted}: {seconds:.0f} s, of which {values['compile_seconds']:.0f} to compile, {values['compiler']}", file=sys.stderr)
    return True


def row(values: Mapping[str, Any]) -> list[str]:
    """The cells of a plan, as `--json` has it; those of the roofline are `-` where the step does not compile."""
    cells = [
        f"`{values['recipe']}`",
        values["topology"],
        f"{values['batch_size']:,}",
        " x ".join(map(str, values["mesh"].values())),
        values["remat"],
        f"{values['peak_hbm_gib']:.2f}",
        f"{values['usable_hbm_gib']:.2f}",
    ]
    if "binds" not in values:
        return [*cells, *["-"] * (len(COLUMNS) - len(cells))]
    memory = number(values["hbm_ms"]) if "hbm_ms" in values else f"≤ {number(values['hbm_at_most_ms'])}"
    days = values["days"]
    return [
        *cells,
        ", ".join((number(values["compute_ms"]), memory, number(values["link_ms"]), number(values["network_ms"]))),
        BINDS[values["binds"]],
        f"{values['mfu_ceiling']:.0%}",
        f"{float(format(values['samples_per_second'], '.3g')):,.0f}",
        f"{days:.2f}" if days >= 0.1 else f"{days:.2g}",
    ]


def number(value: float) -> str:
    """Three digits, and all of those before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def line(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
