"""Pictures of a run as PNG files, drawn without a display and without pyplot's global state."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from .writers import read_metrics

FOLDER = "plots"
Records = Sequence[Mapping[str, Any]]

# Okabe and Ito's colours, which colour-blind readers tell apart; deeper ranks are paler.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
WAYS = {"i2t": ("image to text", BLUE), "t2i": ("text to image", ORANGE)}
DEPTHS = {1: ("-", 1.0), 5: ("--", 0.75), 10: (":", 0.6)}


def draw_run(workdir: Path) -> list[Path]:
    """Draws what `metrics.jsonl` has into `plots/`; returns the files."""
    records, folder = read_metrics(workdir), workdir / FOLDER
    folder.mkdir(exist_ok=True)
    drawn = []
    if series(records, "loss")[0]:
        loss_curve(records, folder / "loss.png")
        drawn.append(folder / "loss.png")
    if retrieval_tasks(records):
        retrieval_curve(records, folder / "retrieval.png")
        drawn.append(folder / "retrieval.png")
    return drawn


def series(records: Records, name: str) -> tuple[list[int], list[float]]:
    """(steps, values) of one metric in the order of the steps; of several records of a step the last one counts."""
    found = {record["step"]: record[name] for record in records if name in record}
    steps = sorted(found)
    return steps, [found[step] for step in steps]


def retrieval_tasks(records: Records) -> list[str]:
    """The tasks that have recalls."""
    return sorted({name.partition("/")[0] for record in records for name in record if name.endswith("/i2t_r1")})


def loss_curve(records: Records, path: Path) -> None:
    """Training loss against step, and held-out losses (`TASK/loss`) where there are any."""
    figure = Figure(figsize=(7, 4.2), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    axes.plot(*series(records, "loss"), color=BLUE, linewidth=1.6, label="training")
    held_out = sorted({name for record in records for name in record if name.endswith("/loss")})
    for name, colour in zip(held_out, (ORANGE, GREEN, GREY) * len(held_out)):
        axes.plot(*series(records, name), color=colour, marker="o", markersize=4, label=name.removesuffix("/loss"))
    if held_out:
        axes.legend(frameon=False)
    axes.set_ylabel("loss (nats)")
    tidy(axes)
    figure.savefig(path)


def retrieval_curve(records: Records, path: Path) -> None:
    """R@1, R@5 and R@10 both ways against step, a panel for each task, with the R@1 of a random ranking."""
    tasks = retrieval_tasks(records)
    figure = Figure(figsize=(6.4 * len(tasks), 4.4), layout="constrained", dpi=150)
    for column, task in enumerate(tasks):
        axes = figure.add_subplot(1, len(tasks), column + 1)
        for way, (words, colour) in WAYS.items():
            for depth, (style, alpha) in DEPTHS.items():
                steps, values = series(records, f"{task}/{way}_r{depth}")
                label = f"{words} R@{depth}"
                axes.plot(steps, values, color=colour, linestyle=style, alpha=alpha, marker="o", markersize=3.5, label=label)
        chance = series(records, f"{task}/chance")[1][-1]
        candidates = int(series(records, f"{task}/candidates")[1][-1])
        axes.axhline(chance, color=GREY, linewidth=1.2, zorder=3, clip_on=False, label=f"R@1 by chance ({chance:.2%})")
        axes.set_title(f"{task}: {candidates:,} candidates", fontsize=11)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.legend(frameon=False, fontsize=8)
        axes.set_ylabel("recall")
        tidy(axes)
    figure.savefig(path)


def tidy(axes: Axes) -> None:
    """What all curves over steps share."""
    axes.set_xlabel("step")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def similarity_picture(images: np.ndarray, captions: Sequence[str], similarity: np.ndarray, path: Path) -> None:
    """Images along the top, captions on the left, their cosine between; framed where they belong together.

    images: uint8[n, S, S, 3]. similarity: f32[n, n], [i, j] of image i and caption j.
    """
    count = len(images)
    figure = Figure(figsize=(0.8 * count + 3.2, 0.8 * count + 1.1), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    low, high = float(similarity.min()), float(similarity.max())
    axes.imshow(similarity.T, extent=(0, count, count, 0), cmap="viridis", vmin=low, vmax=high)
    for index, image in enumerate(images):
        axes.imshow(image, extent=(index + 0.05, index + 0.95, -0.06, -0.96))
        axes.add_patch(Rectangle((index + 0.03, index + 0.03), 0.94, 0.94, fill=False, edgecolor="white", linewidth=2))
        for row in range(count):
            value = similarity[index, row]
            colour = "black" if value > low + 0.65 * (high - low) else "white"
            axes.text(index + 0.5, row + 0.5, f"{value:z.2f}", ha="center", va="center", color=colour, fontsize=9)
    axes.set_xlim(0, count)
    axes.set_ylim(count, -1)
    axes.set_xticks([])
    axes.set_yticks(
        np.arange(count) + 0.5, [textwrap.fill(textwrap.shorten(caption, 80, placeholder=" …"), 30) for caption in captions], fontsize=9
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.savefig(path, bbox_inches="tight")
