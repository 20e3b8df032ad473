"""The picture of a sweep: the metric against each setting."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..overrides import show
from .axes import short_names
from .sweep_result import SweepResult

MOST_LINES = 6

Point = tuple[float, float]


def draw_sweep(result: SweepResult, path: Path) -> None:
    """A panel for each setting with several values; a line joins the runs that differ in that setting alone.

    Above six lines they turn grey, and their mean is drawn.
    """
    values = {path: distinct([run.settings.get(path) for run in result.runs]) for path in result.paths}
    shown = [path for path in values if len(values[path]) > 1] or result.paths[:1]
    figure = Figure(figsize=(1.2 + 4.6 * len(shown), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for panel, setting in zip(panels, shown):
        draw_panel(panel, result, setting, values=values[setting], others=[path for path in shown if path != setting])
    panels[0].set_ylabel(result.metric)
    figure.savefig(path, dpi=120)


def draw_panel(panel: Axes, result: SweepResult, setting: str, *, values: Sequence[Any], others: Sequence[str]) -> None:
    """One setting: numbers at their place (logarithmic where they span a factor of 3), anything else side by side."""
    numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    place = {show(value): value if numeric else index for index, value in enumerate(values)}
    names = short_names(set(result.paths))
    lines: dict[tuple[str, ...], list[Point]] = {}
    for run in result.runs:
        if run.value is not None:
            key = tuple(f"{names[path]} = {show(run.settings.get(path))}" for path in others)
            lines.setdefault(key, []).append((place[show(run.settings.get(setting))], run.value))
    crowded = len(lines) > MOST_LINES
    for label, points in lines.items():
        colour, name = ("lightgrey", None) if crowded else (None, ", ".join(label) or None)
        panel.plot(*zip(*sorted(points)), marker="o", linewidth=1.2, markersize=5, color=colour, label=name)
    if crowded:
        panel.plot(*zip(*means(lines.values())), marker="o", color="black", label=f"mean of {len(lines)} lines")
    if numeric and min(values) > 0 and max(values) >= 3 * min(values):
        panel.set_xscale("log")
    panel.set_xticks(list(place.values()), [show(value) for value in values])
    panel.minorticks_off()
    panel.set_xlabel(setting)
    panel.grid(alpha=0.3)
    if others and lines:
        panel.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)


def means(lines: Iterable[Sequence[Point]]) -> list[Point]:
    """The mean of all lines at each place, from left to right."""
    there: dict[float, list[float]] = {}
    for where, value in itertools.chain.from_iterable(lines):
        there.setdefault(where, []).append(value)
    return [(where, statistics.fmean(found)) for where, found in sorted(there.items())]


def distinct(values: Sequence[Any]) -> list[Any]:
    """The values without repeats: numbers in their order, others as they came."""
    unique = list({show(value): value for value in values}.values())
    return sorted(unique) if all(isinstance(value, (int, float)) for value in unique) else unique
