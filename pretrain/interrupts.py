"""Asking a run to stop: Ctrl-C and SIGTERM become a question that the loop asks after every step."""

from __future__ import annotations

import os
import signal
import types

import jax
from jax.experimental import multihost_utils

from ..errors import Stopped

INTERRUPTED, PREEMPTED = 130, 75


class Interrupts:
    """Context manager around the training loop.

    One process: the first SIGINT or SIGTERM is remembered, a second Ctrl-C raises KeyboardInterrupt at once. Several processes: a signal
    to any of them reaches jax's preemption service, which names one step at which all of them stop, so that they save the same step.
    """

    def __init__(self) -> None:
        self._code: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupts:
        signals = (signal.SIGINT,) if jax.process_count() > 1 else (signal.SIGINT, signal.SIGTERM)
        self._before = {number: signal.signal(number, self._remember) for number in signals}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _remember(self, number: int, frame: types.FrameType | None) -> None:
        if self._code == INTERRUPTED and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._code = INTERRUPTED if number == signal.SIGINT else PREEMPTED
        if jax.process_count() > 1:
            os.kill(os.getpid(), signal.SIGTERM)

    def requested(self, step: int) -> bool:
        """Whether to stop after `step`; the same answer on all processes. To be called once after every step."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._code is not None

    def stopped(self, step: int) -> Stopped:
        """The exception to leave with once step `step` is saved."""
        return Stopped(f"stopped and saved at step {step}; the same command goes on from there", code=self._code or PREEMPTED)
