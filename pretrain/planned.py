"""What the compiled step of a run takes, beside what `diptych plan --workdir` said that it would."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from ..sharding.flops import count_products
from ..sharding.memory import Memory, memory_of
from .learner import Batch
from .state import TrainState
from .step import batch_shapes
from .step_shape import shapes_of_run

if TYPE_CHECKING:
    from .run import Run

LOG = logging.getLogger("diptych")
PLAN = "plan.json"
GIB, TERA = 2**30, 1e12
NEEDED = (
    *("peak_hbm_gib", "model_tflops_per_step", "recomputed_tflops_per_step"),
    *("topology", "compiler", "devices", "mesh", "batch_size", "batch_shapes", "remat"),
)
CLOSE = 0.05  # a share by which a plan may be off before it is a warning


Shapes = Mapping[str, list[int]]


class PlanCheck:
    """Weighs the compiled step of a run, and compares it with the plan in the run folder, if there is one.

    Where the shapes of batches change, the first step may be another than the one that was planned: the comparison waits for that.
    """

    def __init__(self, run: Run):
        self._run, self._plan, self._begun = run, read_plan(run.workdir), False

    def __call__(self, step: jax.stages.Wrapped, state: TrainState, batch: Batch) -> None:
        """Before each step. Logs the first, and the one that was planned: memory of a device and FLOPs of all devices.

        step: jitted; the compile that this makes is the one that its call takes.
        """
        plan, first, self._begun = self._plan, not self._begun, True
        shapes = {name: list(array.shape) for name, array in batch.items()}
        now = plan is not None and (shapes == plan["batch_shapes"] or (first and not comes(plan["batch_shapes"], self._run)))
        if not first and not now:
            return
        memory, tflops = weigh(step, state, batch)
        if plan is None:
            return
        if now:
            self._plan = None
            compare(plan, memory, tflops, shapes=shapes, run=self._run)
        else:
            (name, size, planned), *_ = differences(shapes, plan["batch_shapes"])
            place = f"{plan['topology']} ({plan['compiler']})"
            LOG.info(
                "planned for %s is a step with %s = %s, this one has %s: compared if the run comes to one",
                *(place, name, planned, size),
            )


def comes(shapes: Shapes, run: Run) -> bool:
    """Whether the recipe has steps whose batch has these shapes."""
    recipe = run.learner.recipe
    return any(
        shapes == {name: list(array.shape) for name, array in batch_shapes(recipe, run.mesh, shape=shape).items()}
        for shape in shapes_of_run(recipe)
    )


def differences(shapes: Shapes, planned: Shapes) -> list[tuple[str, str, str]]:
    """(name, its shape, as it was planned) of the arrays of a batch that differ; `none` where there is no such array."""

    def text(shape: list[int] | None) -> str:
        return "none" if shape is None else " x ".join(map(str, shape))

    names = [*planned, *(name for name in shapes if name not in planned)]
    return [(name, text(shapes.get(name)), text(planned.get(name))) for name in names if shapes.get(name) != planned.get(name)]


def weigh(step: jax.stages.Wrapped, state: TrainState, batch: Batch) -> tuple[Memory, float]:
    """Memory of a device and TFLOPs of all devices, logged."""
    traced = step.trace(state, batch)
    tflops = count_products(traced.jaxpr.jaxpr).total() / TERA
    memory = memory_of(traced.lower().compile())
    LOG.info(
        "compiled step: %.3f GiB a device at its peak (arguments %.3f, temporaries %.3f), %.4g TFLOP on all devices",
        *(memory.peak / GIB, memory.arguments / GIB, memory.temporaries / GIB, tflops),
    )
    return memory, tflops


def compare(plan: Mapping[str, Any], memory: Memory, tflops: float, *, shapes: Shapes, run: Run) -> None:
    """Logs the plan beside what the step takes: as a warning, with the settings that differ, where it is off."""
    planned_tflops = plan["model_tflops_per_step"] + plan["recomputed_tflops_per_step"]
    more, work = memory.peak / GIB / plan["peak_hbm_gib"] - 1, tflops / planned_tflops - 1
    said = f"planned for {plan['topology']} ({plan['compiler']}): {plan['peak_hbm_gib']:.3f} GiB, {planned_tflops:.4g} TFLOP"
    other = [(name, value, plan[name]) for name, value in settings(run).items() if value != plan[name]]
    if plan["batch_size"] == settings(run)["batch_size"]:  # else all shapes differ
        other += differences(shapes, plan["batch_shapes"])
    words = "".join(f"; {name} = {value}, planned with {planned}" for name, value, planned in other)
    level = logging.WARNING if max(abs(more), abs(work)) > CLOSE else logging.INFO
    LOG.log(level, "%s: here %+.1f%% memory, %+.1f%% FLOPs%s", said, 100 * more, 100 * work, words)


def settings(run: Run) -> dict[str, Any]:
    """What makes another step of a recipe, as a plan names it."""
    train = run.learner.recipe.train
    return {"devices": run.mesh.size, "mesh": dict(run.mesh.shape), "batch_size": train.batch_size, "remat": train.remat}


def read_plan(workdir: Path) -> dict[str, Any] | None:
    """The plan in a run folder; None where there is none, or, with a warning, a broken one: no run waits for it."""
    path = workdir / PLAN
    if not path.is_file():
        return None
    try:
        plan = json.loads(path.read_text())
        missing = set(NEEDED) - set(plan)
    except (OSError, ValueError, TypeError) as error:
        LOG.warning("%s is broken (%s) and not compared with", path, error)
        return None
    if missing:
        absent = " and no ".join(sorted(missing))
        LOG.warning("%s has no %s, as plans of this version have, and is not compared with; diptych plan makes it anew", path, absent)
        return None
    return plan
