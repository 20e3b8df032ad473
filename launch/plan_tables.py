"""A plan for a person to read."""

from __future__ import annotations

from typing import Any

from ..pretrain.learner import make_learner
from ..pretrain.table import print_table
from ..sharding.layouts import is_layout, named_leaves
from .plan_result import RecipePlan, layouts_of
from .report import print_values

MIB = 2**20


def print_plan(found: RecipePlan, values: dict[str, Any]) -> None:
    """Layouts, collectives, memory, then the summary, which ends on the screen."""
    print_layouts(found)
    rows = [
        (
            row.kind,
            " + ".join(row.axes),
            row.scope or "-",
            row.group,
            row.count,
            row.bytes / MIB,
            row.link_bytes / MIB,
            row.network_bytes / MIB,
        )
        for row in found.plan.weight.traffic
    ]
    print()
    columns = ("collective", "over", "of", "devices", "a step", "MiB", "MiB over links", "MiB over network")
    print_table(columns, rows, title="collectives of a device and step")
    print()
    memory = {f"argument: {name}": size for name, size in values["arguments_gib"].items()}
    memory |= {name.removesuffix("_gib"): values[name] for name in ("loss_gib", "activations_gib", "temporaries_gib") if name in values}
    print_table(("memory of a device", "GiB"), sorted(memory.items(), key=lambda row: -row[1]))
    print()
    summary = {name: value for name, value in values.items() if name != "arguments_gib"}
    print_values(summary, title=f"{found.recipe.name} on {found.plan.topology.name}")


def print_layouts(found: RecipePlan) -> None:
    """Every parameter, how it is sharded, and what that takes of a device."""
    learner = make_learner(found.recipe, found.device_mesh)
    rows = layouts_of(named_leaves(learner.shapes), named_leaves(learner.layouts, is_leaf=is_layout), found.plan.arguments)
    shown = [(name, " x ".join(map(str, shape)), ", ".join(map(entry, layout)) or "-", size) for name, shape, layout, size in rows]
    print_table(("parameter", "shape", "sharded over", "MiB of a device"), shown, title=f"{found.params / 1e6:.1f} M parameters")


def entry(axes: str | tuple[str, ...] | None) -> str:
    """One dimension of a layout."""
    return axes if isinstance(axes, str) else " x ".join(axes or ()) or "."
