"""What fails in one process of a job ends all of them, with one sentence and one exit code: the others may wait for it in a step."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable
from typing import Any, NoReturn

import jax

from ..errors import Stopped, UserError
from .interrupts import SHOW_CURSOR, say
from .job import store

KEY = "diptych/failed"
WRONG_INPUT, BUG = 2, 1
POLL_SECONDS = 0.5
GRACE_SECONDS = 2.0  # in which processes fail that fail alike: they then clean up together
PATIENCE_SECONDS = 15.0  # for a process that does not answer
SERVICE_SECONDS = 0.2  # the coordinator's process outlives the others, or they die of that


class Failures:
    """Context manager around what all processes of a job do together; a process that is alone does as it did.

    An exception is told to the others, which a thread of each asks for. Where all fail alike, the first one's sentence is raised in all.
    Where one does not, its step may wait for ever: all leave with the sentence at once, and a save under way is lost.
    """

    def __init__(self) -> None:
        self._over = threading.Event()
        self._deciding = threading.Lock()  # taken once, by who ends this process
        self._flush: Callable[[], None] = lambda: None
        self._watcher: threading.Thread | None = None

    def __enter__(self) -> Failures:
        if jax.process_count() > 1:
            self._watcher = threading.Thread(target=self._watch, name="failures", daemon=True)
            self._watcher.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None) -> None:
        self._over.set()
        if self._watcher is None:
            return
        if isinstance(error, Exception) and not isinstance(error, Stopped):
            self._fail(error)
        self._watcher.join()

    def before_leaving(self, flush: Callable[[], None]) -> None:
        """What must be written though nothing is closed."""
        self._flush = flush

    def _watch(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            if first_failure() is not None:
                if not self._over.wait(GRACE_SECONDS) and self._deciding.acquire(blocking=False):
                    answer("left")
                    self._leave()
                return

    def _fail(self, error: Exception) -> None:
        if not self._deciding.acquire(blocking=False):
            time.sleep(2 * PATIENCE_SECONDS)  # the watcher ends the process
        tell(error)
        alike = answer("failed") == ["failed"] * jax.process_count()
        first = first_failure()
        others = first is not None and first["process"] != jax.process_index()
        if not alike:
            if not others and not isinstance(error, UserError):
                traceback.print_exception(error)
            self._leave()
        if first is not None and others:
            raise (UserError if first["code"] == WRONG_INPUT else RuntimeError)(first["sentence"]) from error

    def _leave(self) -> NoReturn:
        """Ends the process, the coordinator's as the last one."""
        first = first_failure() or {"sentence": "another process failed", "code": BUG}
        for flush in (self._flush, sys.stdout.flush, sys.stderr.flush):
            with contextlib.suppress(Exception):
                flush()
        say(first["sentence"])
        if os.isatty(2):
            os.write(2, SHOW_CURSOR)
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            store().key_value_set(f"{KEY}/left/{jax.process_index()}", "")
            if jax.process_index() == 0:
                wait_for_all(f"{KEY}/left")
                time.sleep(SERVICE_SECONDS)
        os._exit(first["code"])


def tell(error: Exception) -> None:
    """The others learn of it, if it is the first."""
    index, wrong = jax.process_index(), isinstance(error, UserError)
    sentence = str(error) if wrong else f"process {index} failed with {type(error).__name__}: {error}"
    with contextlib.suppress(jax.errors.JaxRuntimeError):  # there is one already
        store().key_value_set(f"{KEY}/first", json.dumps({"process": index, "sentence": sentence, "code": WRONG_INPUT if wrong else BUG}))


def first_failure() -> dict[str, Any] | None:
    """{"process", "sentence", "code"} of the first that failed, if one did."""
    try:
        return json.loads(store().key_value_try_get(f"{KEY}/first"))
    except jax.errors.JaxRuntimeError:
        return None


def answer(text: str) -> list[str]:
    """Says how this process ends, and returns what all say of themselves, or those that do in time."""
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        store().key_value_set(f"{KEY}/answers/{jax.process_index()}", text)
    return wait_for_all(f"{KEY}/answers")


def wait_for_all(key: str) -> list[str]:
    """The values below `key`, of all processes or of those that wrote one in time."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            found = [value for _, value in store().key_value_dir_get(key)]
            if len(found) == jax.process_count() or time.monotonic() > end:
                return found
        if time.monotonic() > end:
            return []
        time.sleep(POLL_SECONDS / 10)
