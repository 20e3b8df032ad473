"""How fast a run goes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import jax

from ..sharding.hardware import peak_tflops
from .feed import Feed
from .model_flops import flops_by_shape
from .step_shape import shape_at

if TYPE_CHECKING:
    from .run import Run


class Meter:
    """Rates since the last reading: samples/s, share of time in which the devices wait for data, utilisation of the devices."""

    def __init__(self, run: Run, feed: Feed, *, first: int = 0):
        """first: steps that the run had done before."""
        self._feed, self._recipe, self._first = feed, run.recipe, first
        self._devices = run.mesh.size
        peak = run.recipe.log.peak_tflops or peak_tflops(jax.devices()[0].device_kind)
        self._peak = peak * 1e12 * self._devices if peak else None
        self._flops = flops_by_shape(run.recipe, run.mesh) if peak else {}
        self.restart(0)

    def restart(self, steps: int) -> None:
        """Starts to measure here, with `steps` done: leaves out what came before (a compile)."""
        self._time, self._steps, self._waited = time.perf_counter(), steps, self._feed.waited

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What happens inside (an evaluation) takes no time."""
        start = time.perf_counter()
        yield
        self._time += time.perf_counter() - start

    def read(self, steps: int) -> dict[str, float]:
        """Rates over the steps since the last reading, none where there was no step; `steps` are those done in all."""
        if steps == self._steps:
            return {}
        now, waited = time.perf_counter(), self._feed.waited
        seconds, done = now - self._time, steps - self._steps
        rate = done * self._recipe.train.batch_size / seconds
        values = {
            "samples_per_second": rate,
            "samples_per_second_per_device": rate / self._devices,
            "seconds_per_step": seconds / done,
            "data_wait": (waited - self._waited) / seconds,
        }
        if self._peak:
            measured = range(self._first + self._steps, self._first + steps)
            values["mfu"] = sum(self._flops[shape_at(self._recipe, step)] for step in measured) / seconds / self._peak
        self.restart(steps)
        return values
