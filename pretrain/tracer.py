"""Profiles: some steps of a run, traced for TensorBoard and Perfetto."""

from __future__ import annotations

import dataclasses
import logging
import types
from pathlib import Path
from typing import Any

import jax

LOG = logging.getLogger("diptych")
FOLDER = "profile"


@dataclasses.dataclass(frozen=True)
class Profile:
    """The steps to trace: what is done from step `start` (so many are done) to step `stop`."""

    start: int
    stop: int


class Tracer:
    """Context manager around the loop: traces a Profile's steps into WORKDIR/profile and closes the trace however the loop ends."""

    def __init__(self, workdir: Path, profile: Profile | None):
        self._folder, self._profile, self._running = workdir / FOLDER, profile, False

    def __enter__(self) -> Tracer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None) -> None:
        self._stop()

    def before(self, step: int) -> None:
        """To be called before step `step` (from 1) is dispatched."""
        if self._profile and not self._running and self._profile.start < step <= self._profile.stop:
            jax.profiler.start_trace(self._folder)
            self._running = True

    def after(self, step: int, outputs: Any) -> None:
        """To be called after it, with what it returns."""
        if self._profile and self._running and step == self._profile.stop:
            jax.block_until_ready(outputs)
            self._stop()

    def _stop(self) -> None:
        if self._running:
            self._running = False
            jax.profiler.stop_trace()
            LOG.info("traced into %s", self._folder)
