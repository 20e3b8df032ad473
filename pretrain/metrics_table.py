"""What evaluations found, as a person reads it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.table import Table


def chance_of(metrics: Mapping[str, float], name: str) -> float | None:
    """What a random model would have for `TASK/METRIC`: `TASK/chance_SUFFIX` where the metric ends so, `TASK/chance` for R@1 and top-1."""
    task, _, metric = name.rpartition("/")
    for suffix in (metric, metric.partition("_")[2]):
        if f"{task}/chance_{suffix}" in metrics:
            return metrics[f"{task}/chance_{suffix}"]
    return metrics.get(f"{task}/chance") if metric.endswith(("_r1", "top1")) else None


def metrics_rows(metrics: Mapping[str, float]) -> list[tuple[str, str, str, str]]:
    """(task, metric, value, chance) as text: shares as percent, the rest as it is; chance is empty where it is not known."""
    rows = []
    for name, value in metrics.items():
        task, _, metric = name.rpartition("/")
        chance = chance_of(metrics, name)
        show = _percent if chance is not None and not metric.endswith("rank") else _plain
        if not metric.startswith("chance"):
            rows.append((task, metric, show(value), "" if chance is None else show(chance)))
    return rows


def metrics_table(metrics: Mapping[str, float], *, title: str = "") -> Table:
    """Each metric beside chance."""
    table = Table("task", "metric", title=title or None)
    table.add_column("value", justify="right")
    table.add_column("chance", justify="right")
    for row in metrics_rows(metrics):
        table.add_row(*row)
    return table


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _plain(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) and value == round(value) else f"{value:,.4f}"
