"""One process at a time, with the signals of this one passed on to it."""

from __future__ import annotations

import signal
import subprocess
import types
from collections.abc import Sequence

PASSED_ON = (signal.SIGINT, signal.SIGTERM)


def run_child(command: Sequence[str]) -> int:
    """Runs a command to its end and returns its exit code (128 + n where signal n killed it).

    It gets a process group of its own, so that a Ctrl-C reaches it once, through us, whoever sent it: it saves and leaves in peace.
    """
    process: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, frame: types.FrameType | None) -> None:
        if process is None:
            early.append(number)  # it is being started: a child that nobody waits for must not stay
        else:
            process.send_signal(number)

    # Whoever watches the wake-up descriptor would take the signal for this process's own.
    watched = signal.set_wakeup_fd(-1)
    before = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    try:
        process = subprocess.Popen(command, process_group=0)
        for number in early:
            process.send_signal(number)
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(watched)
    return code if code >= 0 else 128 - code
