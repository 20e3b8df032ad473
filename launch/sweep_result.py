"""What the runs of a sweep measured."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from ..errors import UserError


@dataclasses.dataclass(frozen=True)
class RunResult:
    """One run: its settings, the number that is compared, and everything that it reported. value: None where it is not a number."""

    id: str
    settings: Mapping[str, Any]
    value: float | None
    metrics: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class SweepResult:
    """All runs, and the metric that they are compared by."""

    metric: str
    lower_is_better: bool
    runs: tuple[RunResult, ...]

    @property
    def paths(self) -> list[str]:
        """Every setting that a run has, sorted."""
        return sorted({path for run in self.runs for path in run.settings})

    @property
    def best(self) -> RunResult | None:
        """The run with the best value; None where no run has a number."""
        sign = -1 if self.lower_is_better else 1
        measured = [(sign * run.value, run) for run in self.runs if run.value is not None]
        return max(measured, key=lambda pair: pair[0])[1] if measured else None

    def summary(self) -> dict[str, Any]:
        """As JSON holds it."""
        runs = [{"id": run.id, "settings": dict(run.settings), "value": run.value, "metrics": dict(run.metrics)} for run in self.runs]
        return {"metric": self.metric, "best": self.best.id if self.best else None, "runs": runs}


def measure(metrics: Mapping[str, Any], metric: str) -> float | None:
    """The metric's value in a run's result: None where it is no finite number; UserError where the run did not report it."""
    if metric not in metrics:
        reported = ", ".join(name for name in metrics if "/" in name) or ", ".join(metrics)
        raise UserError(f"eval.metric = {metric} was not reported by the runs; accepted are {reported}")
    value = metrics[metric]
    return float(value) if value is not None and math.isfinite(value) else None
