"""The table of a search: every step that was compiled, and which of them nothing else beats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..pretrain.table import print_table
from .plan_result import GIB, RecipePlan

COLUMNS = {
    "batch_size": "batch",
    "remat": "remat",
    "mesh": "replica x fsdp x tensor",
    "peak_hbm_gib": "peak GiB",
    "fits": "fits",
    "binds": "binds",
    "samples_per_second": "samples/s",
    "mfu_ceiling": "MFU ceiling",
    "on_frontier": "frontier",
}


def frontier_rows(plans: Sequence[RecipePlan]) -> list[dict[str, Any]]:
    """A row a plan, by batch and speed. on_frontier: it fits, and none beats it."""
    kept = {id(plan) for plan in plans if plan.plan.fits and not any(beats(other, plan) for other in plans)}
    return [row(plan) | {"on_frontier": id(plan) in kept} for plan in sorted(plans, key=order)]


def row(plan: RecipePlan) -> dict[str, Any]:
    """One plan. Rates: at the roofline; None where the step does not compile."""
    line, seconds = plan.plan.roofline, plan.seconds
    return {
        "batch_size": plan.recipe.train.batch_size,
        "remat": plan.recipe.train.remat,
        "mesh": dict(plan.plan.mesh),
        "peak_hbm_gib": plan.plan.weight.needed / GIB,
        "fits": plan.plan.fits,
        "binds": line and line.binds,
        "samples_per_second": None if seconds is None else plan.recipe.train.batch_size / seconds,
        "mfu_ceiling": plan.mfu_ceiling,
    }


def beats(other: RecipePlan, plan: RecipePlan) -> bool:
    """Whether `other` fits and is at least as good in batch, speed and memory, and better in one."""
    theirs, ours = merits(other), merits(plan)
    return other.plan.fits and theirs != ours and all(their >= our for their, our in zip(theirs, ours))


def merits(plan: RecipePlan) -> tuple[float, float, float]:
    """Batch, samples/s, and memory that is left: the more the better."""
    rate = plan.recipe.train.batch_size / plan.seconds if plan.seconds else 0.0
    return plan.recipe.train.batch_size, rate, -plan.plan.weight.needed


def order(plan: RecipePlan) -> tuple[float, float]:
    """Small batches first, then the fast."""
    batch, rate, _ = merits(plan)
    return batch, -rate


def print_frontier(rows: Sequence[dict[str, Any]], *, title: str) -> None:
    """For a person."""
    shown = [[cell(name, each[name]) for name in COLUMNS] for each in rows]
    print_table(tuple(COLUMNS.values()), shown, title=title)


def cell(name: str, value: Any) -> Any:
    """A mesh by its sizes, truth as a word."""
    if name == "mesh":
        return " x ".join(map(str, value.values()))
    return ("yes" if value else "no") if isinstance(value, bool) else value
