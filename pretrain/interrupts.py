"""Ctrl-C and SIGTERM: before there is anything to lose they end the process at once, later they are a question that the loop asks."""

from __future__ import annotations

import os
import signal
import threading
import types

from ..errors import Stopped

INTERRUPTED, PREEMPTED = 130, 75
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = b"\x1b[?25h"


def hold_signals() -> None:
    """Keeps signals waiting until an Interrupts is entered; the mask outlives an exec, so that none is lost while Python starts anew."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


class Interrupts:
    """Context manager from the start of a verb to its end. One that was never entered leaves signals as they are.

    Until `defer` the first signal ends the process at once with its code: nothing was trained, and files are written whole or not at all.
    From there to `at_once` the first is remembered, and a Ctrl-C that follows ends the process at once. A thread does both, fed by the
    wake-up descriptor: a handler of Python's would wait for the end of a compile, and an exception out of one crashes XLA.

    Several processes: after `defer` a signal to any of them reaches jax's preemption service, which names one call of `requested` at which
    all of them stop, so that they save the same step. (SIGTERM reaches it from `jax.distributed.initialize` on.)
    """

    def __init__(self) -> None:
        self._code: int | None = None
        self._deferred = False
        self._asked = 0

    def __enter__(self) -> Interrupts:
        read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._descriptor = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._handlers = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
        threading.Thread(target=self._watch, args=(read,), name="signals", daemon=True).start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._descriptor)
        os.close(self._write)

    def defer(self) -> None:
        """From here on there is something to lose: signals are remembered, until the caller asks."""
        self._deferred = True

    def at_once(self) -> None:
        """There is nothing to lose any more."""
        self._deferred = False

    def requested(self) -> bool:
        """Whether to stop here; the same answer on all processes, which call it equally often."""
        import jax
        from jax.experimental import multihost_utils

        if jax.process_count() == 1:
            return self._code is not None
        self._asked += 1
        return multihost_utils.reached_preemption_sync_point(self._asked)

    def stopped(self, step: int) -> Stopped:
        """The exception to leave with once step `step` is saved."""
        return Stopped(f"stopped and saved at step {step}; the same command goes on from there", code=self._code or PREEMPTED)

    def _watch(self, descriptor: int) -> None:
        while numbers := os.read(descriptor, 64):
            for number in numbers:
                if number in SIGNALS:
                    self._came(number)
        os.close(descriptor)

    def _came(self, number: int) -> None:
        code = INTERRUPTED if number == signal.SIGINT else PREEMPTED
        if not self._deferred or (self._code is not None and number == signal.SIGINT):
            leave(code)
        if self._code is None:
            self._code = code
            say("stopping as soon as the step is saved; Ctrl-C leaves at once")
            self._tell_the_others()

    def _tell_the_others(self) -> None:
        import jax

        if jax.process_count() > 1:  # SIGTERM is the preemption service's by now
            os.kill(os.getpid(), signal.SIGTERM)


def say(sentence: str) -> None:
    """Writes a line for a person, whatever lock the main thread holds."""
    os.write(2, f"\ndiptych: {sentence}\n".encode())


def leave(code: int) -> None:
    """Ends the process here and now."""
    say("stopped")
    if os.isatty(2):
        os.write(2, SHOW_CURSOR)  # a progress bar hides it
    os._exit(code)
