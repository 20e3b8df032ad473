"""Try again, with growing pauses; then say what failed."""

from __future__ import annotations

import dataclasses
import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
logger = logging.getLogger(__name__)

SLOWEST = 256 * 1024  # bytes a second: a transfer that keeps below it is a stall in slow motion
AGAIN = (408, 425, 429)  # answers of 400 .. 499 that a later attempt may change


class Refused(OSError):
    """What another attempt cannot change."""


class Changed(Refused):
    """The object is not the one that was indexed or opened."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a store may fail.

    attempts: of one request, the first included. pause: seconds before the second attempt, doubled with each further one up to
    `longest_pause`. stall: seconds without a byte (connecting included) after which an attempt has failed. With the defaults a store
    that refuses connections is given up after about 50 seconds, one that stalls after about 5 minutes.
    """

    attempts: int = 8
    pause: float = 0.5
    longest_pause: float = 30.0
    stall: float = 30.0

    def before(self, attempt: int) -> float:
        """Seconds to pause before `attempt`, 2, 3, ...: half of it fixed, half of it random, so that hosts do not come back at once."""
        longest = min(self.longest_pause, self.pause * 2.0 ** (attempt - 2))
        return longest * random.uniform(0.5, 1.0)

    def deadline(self, size: int) -> float:
        """Seconds that `size` bytes may take in one attempt."""
        return self.stall + size / SLOWEST


def retry(call: Callable[[], T], *, what: str, patience: Patience, pause: Callable[[float], object] = time.sleep) -> T:
    """What `call` returns, tried `patience.attempts` times.

    what: for messages, with the url. pause: waits so many seconds, or raises to give up.

    Raises OSError that names what, the attempts and the last reason; FileNotFoundError, PermissionError and Refused at once. An error that
    is no failure of input or output (TypeError ...) passes.
    """
    start = time.monotonic()
    for attempt in range(1, patience.attempts + 1):
        if attempt > 1:
            pause(patience.before(attempt))
        try:
            return call()
        except Exception as error:
            if not _of_io(error):
                raise
            if _final(error):
                raise _as_os_error(error, f"{what}: {reason(error)}") from error
            last = error
            logger.info("%s: attempt %d of %d failed: %s", what, attempt, patience.attempts, reason(error))
    seconds = time.monotonic() - start
    raise OSError(f"{what}: gave up after {patience.attempts} attempts in {seconds:.1f} s; the last one: {reason(last)}") from last


def reason(error: BaseException) -> str:
    """One line that says what happened, also for errors without words."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def status_of(error: BaseException | None) -> int | None:
    """The HTTP status that an error of aiohttp, botocore, gcsfs or huggingface_hub, or its cause, carries."""
    while error is not None and type(error).__module__ != "aiohttp.http_exceptions":  # which calls a body that was cut a status of 400
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            return response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        status = getattr(response, "status_code", None) or getattr(error, "status", None)
        if status is None and "aiohttp" not in type(error).__module__:
            status = getattr(error, "code", None)
        if isinstance(status, int):
            return status
        error = error.__cause__
    return None


def _of_io(error: Exception) -> bool:
    """Whether it comes from the store or the way to it, not from a mistake in the code."""
    packages = ("aiohttp", "aiobotocore", "botocore", "fsspec", "gcsfs", "google", "httpx", "huggingface_hub", "requests", "urllib3")
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in packages


def _final(error: Exception) -> bool:
    status = status_of(error)
    if status is not None:
        return 400 <= status < 500 and status not in AGAIN
    return isinstance(error, Refused | FileNotFoundError | PermissionError | IsADirectoryError) or "Credential" in type(error).__name__


def _as_os_error(error: Exception, message: str) -> OSError:
    for kind in (Changed, FileNotFoundError, PermissionError):
        if isinstance(error, kind):
            return kind(message)
    return Refused(message)
