"""What a person sees while a run goes on: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import datetime
import sys
import time
import types
from collections.abc import Mapping
from typing import Protocol

import jax
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .metrics_table import COLUMNS, metrics_rows
from .table import drawn_table, plain_table


class Reporter(Protocol):
    """Shows steps done and what they measured."""

    def __enter__(self) -> Reporter: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None) -> None: ...

    def advance(self, step: int) -> None:
        """Step `step` (from 1) is done."""

    def report(self, step: int, values: Mapping[str, float]) -> None:
        """What was measured up to step `step`."""

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        """What the evaluations found after step `step`."""


def summary(values: Mapping[str, float]) -> str:
    """`loss 3.21  912 samples/s`."""
    parts = [f"loss {values['loss']:.4f}"] if "loss" in values else []
    parts += [f"{values['samples_per_second']:,.0f} samples/s"] if "samples_per_second" in values else []
    return "  ".join(parts)


class Bar:
    """A progress bar with step, loss, rate and time left."""

    def __init__(self, total: int, done: int):
        columns = (TextColumn("step"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[summary]}"), TimeRemainingColumn())
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task("train", total=total, completed=done, summary="compiling")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None) -> None:
        self._progress.stop()

    def advance(self, step: int) -> None:
        """See Reporter."""
        self._progress.update(self._task, completed=step)

    def report(self, step: int, values: Mapping[str, float]) -> None:
        """See Reporter."""
        self._progress.update(self._task, summary=summary(values))

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        """See Reporter."""
        self._progress.console.print(drawn_table(COLUMNS, metrics_rows(metrics), title=f"evaluation after step {step}"))


class Lines:
    """A line for each report, for logs. The time left goes by what came after the first step, whose time is that of a compile."""

    def __init__(self, total: int, done: int):
        self._total, self._first = total, done + 1
        self._start: float | None = None

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None) -> None:
        pass

    def advance(self, step: int) -> None:
        """See Reporter."""
        if step == self._first:
            self._start = time.monotonic()

    def report(self, step: int, values: Mapping[str, float]) -> None:
        """See Reporter."""
        print(f"step {step}/{self._total}  {summary(values)}{self._left(step)}", file=sys.stderr, flush=True)

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        """See Reporter."""
        print(plain_table(COLUMNS, metrics_rows(metrics), title=f"evaluation after step {step}"), file=sys.stderr, flush=True)

    def _left(self, step: int) -> str:
        if self._start is None or step == self._first:
            return ""
        seconds = (time.monotonic() - self._start) / (step - self._first) * (self._total - step)
        return f"  {datetime.timedelta(seconds=round(seconds))} left"


class Silence:
    """Nothing, on processes other than the first."""

    def __enter__(self) -> Silence:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None) -> None:
        pass

    def advance(self, step: int) -> None:
        """See Reporter."""

    def report(self, step: int, values: Mapping[str, float]) -> None:
        """See Reporter."""

    def evaluated(self, step: int, metrics: Mapping[str, float]) -> None:
        """See Reporter."""


def reporter(*, total: int, done: int) -> Reporter:
    """The reporter that suits this process."""
    if jax.process_index() > 0:
        return Silence()
    return Bar(total, done) if sys.stderr.isatty() else Lines(total, done)
