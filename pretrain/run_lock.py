"""One training run at a time in a run folder."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError

LOG = logging.getLogger("diptych")
FILE = ".lock"


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Holds the folder; the system lets go of it however the process ends. UserError where another process holds it."""
    with (workdir / FILE).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read() or "another process"
            raise UserError(
                f"--workdir = {workdir} is in use by {holder}; accepted is another folder, or this one when that has ended"
            ) from None
        except OSError as error:  # a file system without locks
            LOG.warning("--workdir = %s cannot be locked (%s); a second run in it would not be noticed", workdir, error.strerror)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
