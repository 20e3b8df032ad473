"""The picture of a plan: what a device's memory holds, and how long each part of a step takes at the least."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

SPLIT = ("activations_gib", "loss_gib")
PARTS = {"compute_ms": "compute", "hbm_ms": "memory traffic", "link_ms": "links (ICI, NVLink)", "network_ms": "network (DCN, InfiniBand)"}
# Okabe and Ito's colours, which colour-blind readers tell apart.
COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#F0E442", "#E69F00", "#D55E00", "#CC79A7", "#999999")


def draw_plan(values: Mapping[str, Any], path: Path) -> None:
    """values: as `--json` has them. The suffix of the file decides its kind; its folder is made."""
    timed = "binds" in values
    figure = Figure(figsize=(11 if timed else 5, 4.6), layout="constrained", dpi=150)
    panels = figure.subplots(1, 2 if timed else 1, squeeze=False, width_ratios=(2, 3) if timed else None)[0]
    draw_memory(panels[0], memory_parts(values), usable=values["usable_hbm_gib"], peak=values["peak_hbm_gib"])
    if timed:
        draw_times(panels[1], values)
    figure.suptitle(f"{values['recipe']} on {values['topology']}, batch {values['batch_size']:,}, remat {values['remat']}", fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def memory_parts(values: Mapping[str, Any]) -> dict[str, float]:
    """Part -> GiB, from the bottom of the bar up; where the step does not compile, what its arguments leave is not known by part."""
    parts = dict(sorted(values["arguments_gib"].items(), key=lambda part: -part[1]))
    if all(name in values for name in SPLIT):
        parts |= {name.removesuffix("_gib"): values[name] for name in SPLIT}
    else:
        parts["temporaries"] = values.get("temporaries_gib", max(values["peak_hbm_gib"] - sum(parts.values()), 0.0))
    return parts | {"outputs": values.get("outputs_gib", 0.0), "program": values.get("program_gib", 0.0)}


def draw_memory(axes: Axes, parts: Mapping[str, float], *, usable: float, peak: float) -> None:
    """One stacked bar, the peak (which is less where parts do not live at once) and what the device has."""
    bottom = 0.0
    for index, (name, size) in enumerate(parts.items()):
        if size > 0:
            axes.bar(0, size, bottom=bottom, width=0.6, color=COLOURS[index % len(COLOURS)], label=f"{name}: {size:.3g}")
            bottom += size
    axes.axhline(peak, color="black", linewidth=1.2, label=f"peak: {peak:.3g}")
    axes.axhline(usable, color="black", linewidth=1.2, linestyle="--", label=f"usable: {usable:.4g}")
    axes.set_xlim(-0.5, 2.2)
    axes.set_xticks([])
    axes.set_ylabel("GiB of a device")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], frameon=False, fontsize="small", loc="center right")
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def draw_times(axes: Axes, values: Mapping[str, Any]) -> None:
    """A bar a part of the roofline; the longest is the step."""
    parts = [name for name in PARTS if name in values][::-1]
    times = [values[name] for name in parts]
    colours = [COLOURS[5] if name == f"{values['binds']}_ms" else COLOURS[0] for name in parts]
    bars = axes.barh([PARTS[name] for name in parts], times, color=colours)
    axes.bar_label(bars, [f" {time:.3g} ms" for time in times], fontsize="small")
    axes.set_xlabel("ms a step, each alone at its peak")
    axes.set_title(f"at most {values['samples_per_second']:,.0f} samples/s, MFU {values['mfu_ceiling']:.0%}", fontsize=10)
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
