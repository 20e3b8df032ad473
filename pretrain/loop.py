"""The training loop, to be read in one sitting. The order of its operations is part of what makes a resumed run exact."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import jax

from ..sharding.flops import count_flops
from ..sharding.hardware import peak_tflops
from .feed import Feed
from .interrupts import Interrupts
from .learner import make_learner
from .progress import reporter
from .state import TrainState
from .step import batch_shapes, make_step
from .writers import Writer

if TYPE_CHECKING:
    from .train import Run


@dataclasses.dataclass(frozen=True)
class Profile:
    """Steps [start, stop) that are traced into WORKDIR/profile."""

    start: int
    stop: int


class Meter:
    """Rates since the last reading: samples/s, share of time waiting for data, utilisation of the devices."""

    def __init__(self, run: Run, feed: Feed):
        self._feed, self._batch_size = feed, run.recipe.train.batch_size
        self._devices = run.mesh.size
        peak = run.recipe.log.peak_tflops or peak_tflops(jax.devices()[0].device_kind)
        self._peak = peak * 1e12 * self._devices if peak else None
        self._flops = step_flops(run) if peak else 0
        self.restart(0)

    def restart(self, steps: int) -> None:
        """Starts to measure here, with `steps` done: leaves out what came before (a compile)."""
        self._time, self._steps, self._waited = time.perf_counter(), steps, self._feed.waited

    def read(self, steps: int) -> dict[str, float]:
        """Rates over the steps since the last reading, none where there was no step; `steps` are those done in all."""
        if steps == self._steps:
            return {}
        now, waited = time.perf_counter(), self._feed.waited
        seconds, done = now - self._time, steps - self._steps
        rate = done * self._batch_size / seconds
        values = {
            "samples_per_second": rate,
            "samples_per_second_per_device": rate / self._devices,
            "seconds_per_step": seconds / done,
            "data_wait": (waited - self._waited) / seconds,
        }
        if self._peak:
            values["mfu"] = done * self._flops / seconds / self._peak
        self.restart(steps)
        return values


def step_flops(run: Run) -> int:
    """Model FLOPs of a step: matrix products of the loss and its gradient by the dense definition, nothing rematerialised."""
    recipe = dataclasses.replace(run.recipe, train=dataclasses.replace(run.recipe.train, remat="none"))
    learner = make_learner(recipe, run.mesh)
    return count_flops(jax.value_and_grad(learner.dense_loss, has_aux=True), learner.shapes, batch_shapes(run.recipe, run.mesh))


def run_loop(
    run: Run,
    state: TrainState,
    *,
    feed: Feed,
    writer: Writer,
    save: Callable[[int, TrainState], None],
    profile: Profile | None,
) -> dict[str, float]:
    """From `state` to `train.steps`; returns the last training metrics and those of the final evaluation."""
    recipe, first, total = run.recipe, int(state.step), run.recipe.train.steps
    train_step = jax.jit(make_step(run.learner, run.optimizer), donate_argnums=0)
    meter = Meter(run, feed)
    values: dict[str, float] = {}
    metrics: Mapping[str, jax.Array] = {}

    with Interrupts() as interrupts, reporter(total=total, done=first) as report:
        for step in range(first + 1, total + 1):
            if profile and step - 1 == profile.start:
                jax.profiler.start_trace(run.workdir / "profile")
            before = metrics
            with jax.profiler.StepTraceAnnotation("train", step_num=step):
                state, metrics = train_step(state, next(feed))
            if step < total:
                feed.prefetch()
            jax.block_until_ready(before)  # at most two steps are under way
            if profile and step == min(profile.stop, total):
                jax.profiler.stop_trace()
            report.advance(step)

            if step == first + 1:
                report.report(step, {"loss": float(metrics["loss"])})
                meter.restart(1)
            if step % recipe.log.every == 0 or step == total:
                values = {name: float(value) for name, value in metrics.items()} | meter.read(step - first)
                writer.write(step, values)
                report.report(step, values)
            stopping = interrupts.requested(step)
            if stopping or step == total or step % recipe.checkpoint.every == 0:
                save(step, state)
            if step < total and recipe.eval.every and step % recipe.eval.every == 0 and not stopping:
                writer.write(step, run.evaluation(state.params, step=step))
            if stopping and step < total:
                raise interrupts.stopped(step)
        final = run.evaluation(state.params, step=total)
        if total > first:
            writer.write(total, final)
    return values | final
