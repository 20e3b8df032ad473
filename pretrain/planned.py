"""What the compiled step of a run takes, beside what `diptych plan --workdir` said that it would."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from ..sharding.flops import count_products
from ..sharding.memory import memory_of
from .learner import Batch
from .state import TrainState

if TYPE_CHECKING:
    from .run import Run

LOG = logging.getLogger("diptych")
PLAN = "plan.json"
GIB, TERA = 2**30, 1e12
NEEDED = (
    *("peak_hbm_gib", "model_tflops_per_step", "recomputed_tflops_per_step"),
    *("topology", "compiler", "devices", "mesh", "batch_size", "remat"),
)
CLOSE = 0.05  # a share by which a plan may be off before it is a warning


def compare_with_plan(step: jax.stages.Wrapped, state: TrainState, batch: Batch, *, run: Run) -> None:
    """Logs memory of a device and FLOPs of all devices of the compiled step, and as they were planned where the run folder has a plan.

    step: jitted; the compile that this makes is the one that its first call takes.
    """
    traced = step.trace(state, batch)
    tflops = count_products(traced.jaxpr.jaxpr).total() / TERA
    memory = memory_of(traced.lower().compile())
    peak = memory.peak / GIB
    LOG.info(
        "compiled step: %.3f GiB a device at its peak (arguments %.3f, temporaries %.3f), %.4g TFLOP on all devices",
        *(peak, memory.arguments / GIB, memory.temporaries / GIB, tflops),
    )
    plan = read_plan(run.workdir)
    if plan is None:
        return
    planned_tflops = plan["model_tflops_per_step"] + plan["recomputed_tflops_per_step"]
    more, work = peak / plan["peak_hbm_gib"] - 1, tflops / planned_tflops - 1
    said = f"planned for {plan['topology']} ({plan['compiler']}): {plan['peak_hbm_gib']:.3f} GiB, {planned_tflops:.4g} TFLOP"
    other = [f"; {name} = {value}, planned with {plan[name]}" for name, value in settings(run).items() if value != plan[name]]
    level = logging.WARNING if max(abs(more), abs(work)) > CLOSE else logging.INFO
    LOG.log(level, "%s: here %+.1f%% memory, %+.1f%% FLOPs%s", said, 100 * more, 100 * work, "".join(other))


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
        LOG.warning("%s is no plan (it has no %s) and not compared with", path, " and no ".join(sorted(missing)))
        return None
    return plan
