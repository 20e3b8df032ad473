"""What evaluations found, as a person reads it."""

from __future__ import annotations

import math
from collections.abc import Mapping

COLUMNS = ("task", "metric", "value", "chance")


def chance_of(metrics: Mapping[str, float], name: str) -> float | None:
    """What a random model would have for `TASK/METRIC`: `TASK/chance_SUFFIX` where the metric ends so, `TASK/chance` for R@1 and top-1."""
    task, _, metric = name.partition("/")
    for suffix in (metric, metric.partition("_")[2]):
        if f"{task}/chance_{suffix}" in metrics:
            return metrics[f"{task}/chance_{suffix}"]
    return metrics.get(f"{task}/chance") if metric.endswith(("_r1", "top1")) else None


def metrics_rows(metrics: Mapping[str, float]) -> list[tuple[str, str, str, str]]:
    """COLUMNS as text: shares as percent, the rest as it is; chance is empty where it is not known. A task's name has no slash."""
    rows = []
    for name, value in metrics.items():
        task, _, metric = name.partition("/")
        chance = chance_of(metrics, name)
        shown = _percent if chance is not None and not metric.endswith("rank") else _plain
        if not metric.startswith("chance"):
            rows.append((task, metric, shown(value), "" if chance is None else shown(chance)))
    return rows


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _plain(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) and value == round(value) else f"{value:,.4f}"
