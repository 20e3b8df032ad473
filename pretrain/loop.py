"""The training loop, to be read in one sitting.

The order of what follows a step is part of what makes a stop safe: metrics are written, then the state is saved, then it is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import jax

from .bad_total import BadTotal
from .ema import to_evaluate
from .feed import Feed
from .interrupts import Interrupts
from .meter import Meter
from .planned import PlanCheck
from .progress import Reporter, reporter
from .skip import check_skips
from .state import TrainState
from .step import jit_step
from .tracer import Tracer
from .writers import Writer

if TYPE_CHECKING:
    from .run import Run


def run_loop(
    run: Run,
    state: TrainState,
    *,
    feed: Feed,
    bad: BadTotal,
    writer: Writer,
    save: Callable[[int, TrainState], None],
    interrupts: Interrupts,
    tracer: Tracer,
) -> dict[str, float]:
    """From `state` to `train.steps`; returns the last training metrics and those of the final evaluation.

    Raises Stopped where a stop was asked for: after a step, which is saved, or between two batches of an evaluation, whose step is saved.
    Raises UserError, and saves nothing, where `train.skip.max_skips` steps in a row were left out.
    """
    recipe, first, total = run.recipe, int(state.step), run.recipe.train.steps
    train_step = jit_step(run.learner, run.optimizer)
    meter, check_plan = Meter(run, feed, first=first), PlanCheck(run)
    values: dict[str, float] = {}
    metrics: Mapping[str, jax.Array] = {}

    with tracer, reporter(total=total, done=first) as report:

        def evaluate(step: int) -> dict[str, float]:
            with meter.paused():
                return evaluate_once(run, state, step=step, writer=writer, report=report, interrupts=interrupts)

        if 0 < first < total and is_due(first, recipe.eval.every):
            evaluate(first)  # a stop may have come between the save and the end of the evaluation
        for step in range(first + 1, total + 1):
            tracer.before(step)
            before = metrics
            with jax.profiler.StepTraceAnnotation("train", step_num=step):
                batch = next(feed)
                check_plan(train_step, state, batch)
                state, metrics = train_step(state, batch)
                del batch  # the next one may take its place
            tracer.after(step, metrics)
            if step < total:
                feed.prefetch(metrics)
            jax.block_until_ready(before)  # at most two steps are under way
            if before:
                check_skips(recipe.train.skip, before, step=step - 1)
            if step == first + 1:
                jax.block_until_ready(metrics)
                meter.restart(1)
                interrupts.defer()
            report.advance(step)

            if is_due(step, recipe.log.every) or step == total:
                values = {name: float(value) for name, value in metrics.items()} | meter.read(step - first) | {"bad_samples": bad.read()}
                writer.write(step, values)
                report.report(step, values)
            elif step == first + 1:
                report.report(step, {"loss": float(metrics["loss"])})
            stopping, evaluating = interrupts.requested(), is_due(step, recipe.eval.every)
            if stopping or evaluating or step == total or is_due(step, recipe.checkpoint.every):
                check_skips(recipe.train.skip, metrics, step=step)
                save(step, state)
            if stopping:
                raise interrupts.stopped(step)
            if evaluating and step < total:
                evaluate(step)
        return values | evaluate(total)


def is_due(step: int, every: int) -> bool:
    """Whether something happens after this step; never where `every` is 0."""
    return every > 0 and step % every == 0


def evaluate_once(run: Run, state: TrainState, *, step: int, writer: Writer, report: Reporter, interrupts: Interrupts) -> dict[str, float]:
    """The metrics of the evaluation after a step: written and shown where they were not known yet."""
    if (known := run.evaluation.known(step)) is not None:
        return known

    def poll() -> None:
        if interrupts.requested():
            raise interrupts.stopped(step)

    found = run.evaluation(to_evaluate(run.recipe, params=state.params, ema=state.ema), poll=poll)
    writer.write(step, found)
    run.evaluation.remember(step, found)
    report.evaluated(step, found)
    return found
