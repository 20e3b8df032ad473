"""Locks on files that end with the process that has them. What waits for one says so in the end, instead of waiting for ever."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.05  # seconds between two attempts


def lock(path: Path, *, patience: float) -> int:
    """An open file, made where it is missing, and locked for this process; to be given to `unlock`.

    patience: seconds to wait for whoever has it, counted anew whenever the file is written to. Raises TimeoutError.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _wait(file, path, patience)
    except BaseException:
        os.close(file)
        raise
    return file


def unlock(file: int) -> None:
    """Ends the lock, also where a child that was forked meanwhile has the file open too, and closes it here."""
    fcntl.flock(file, fcntl.LOCK_UN)
    os.close(file)


def unlocked(path: Path) -> bool:
    """Whether the file is there, and no one has its lock."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    if _taken(file):
        unlock(file)
        return True
    os.close(file)
    return False


def _taken(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(file: int, path: Path, patience: float) -> None:
    pause, written, since = FIRST_PAUSE, 0, time.monotonic()
    while not _taken(file):
        if (now := os.fstat(file).st_mtime_ns) != written:
            written, since = now, time.monotonic()
        if time.monotonic() - since > patience:
            message = f"another process has locked it, and done nothing with it, for {patience:.0f} s; end that process (is it stopped?)"
            raise TimeoutError(errno.ETIMEDOUT, message, str(path))
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
