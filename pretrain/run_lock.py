"""One training run at a time in a run folder, which a refused one leaves as it was."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ..errors import UserError
from .run_folder import CHECKPOINTS

LOG = logging.getLogger("diptych")
FILE = ".lock"


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Makes and holds the folder; the system lets go of it however the process ends. UserError where another process holds it.

    Where the body raises UserError, what is new and empty goes again: the folders on the way, that of the checkpoints, the lock.
    """
    new = [path for path in (workdir / CHECKPOINTS, workdir / FILE, workdir, *workdir.parents) if not path.exists()]
    with _held(workdir) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        except UserError:
            for path in new:
                _remove(path)
            raise


def _held(workdir: Path) -> TextIO:
    """The lock's file. Whoever held it before may have removed the one that was opened: then it is opened anew."""
    while True:
        workdir.mkdir(parents=True, exist_ok=True)
        file = (workdir / FILE).open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read() or "another process"
            file.close()
            raise UserError(
                f"--workdir = {workdir} is in use by {holder}; accepted is another folder, or this one when that has ended"
            ) from None
        except OSError as error:  # a file system without locks
            LOG.warning("--workdir = %s cannot be locked (%s); a second run in it would not be noticed", workdir, error.strerror)
        if _is_at(file, workdir / FILE):
            return file
        file.close()


def _is_at(file: TextIO, path: Path) -> bool:
    """Whether the path still leads to the file that was opened."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _remove(path: Path) -> None:
    """A folder with nothing in it, or the lock."""
    with contextlib.suppress(OSError):
        path.unlink() if path.name == FILE else path.rmdir()
