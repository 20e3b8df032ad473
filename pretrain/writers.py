"""Where metrics go: one seam, and what is written behind it."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import jax
from tensorboardX import SummaryWriter

from ..errors import UserError
from .results import numbers, plain
from .run_folder import write_atomically
from .spec import LogSpec

FILE = "metrics.jsonl"


class Writer(Protocol):
    """Takes what was measured up to a step."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """values: name -> number; a name with a slash is `TASK/METRIC` of an evaluation."""

    def flush(self) -> None:
        """What was written is handed on: a checkpoint is being saved, and what came before it is not written again."""

    def close(self) -> None:
        """Everything is on disk when it returns."""


class JsonLines:
    """`metrics.jsonl`: one object a line, `step` first. What is not finite is `null`, so that every reader of JSON can read it."""

    def __init__(self, workdir: Path, *, resumed_step: int):
        keep_until(workdir, resumed_step)
        self._file = (workdir / FILE).open("a", encoding="utf-8")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """See Writer. The line is handed to the system at once: a killed run keeps it."""
        self._file.write(json_line(step, values))
        self._file.flush()

    def flush(self) -> None:
        """See Writer."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """See Writer."""
        os.fsync(self._file.fileno())
        self._file.close()


def json_line(step: int, values: Mapping[str, float]) -> str:
    """A line of `metrics.jsonl`."""
    return json.dumps({"step": step, **plain(values)}, allow_nan=False) + "\n"


def append_metrics(workdir: Path, step: int, values: Mapping[str, float]) -> None:
    """Adds a line to `metrics.jsonl`, whoever else writes to it: it is one write to a file that is open for appending."""
    with (workdir / FILE).open("a", encoding="utf-8") as file:
        file.write(json_line(step, values))


class TensorBoard:
    """`events/`; what a resumed run will write again is hidden. A file's name has the step, as two may have the same second."""

    def __init__(self, workdir: Path, *, resumed_step: int):
        self._events = SummaryWriter(str(workdir / "events"), purge_step=resumed_step + 1, filename_suffix=f".{resumed_step}")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """See Writer."""
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def flush(self) -> None:
        """See Writer."""
        self._events.flush()

    def close(self) -> None:
        """See Writer."""
        self._events.close()


class WandB:
    """Weights & Biases: one run a folder, its id kept in `wandb_id`. `step` is a metric of its own, as W&B's counter cannot go back."""

    def __init__(self, workdir: Path, *, resumed_step: int):
        import wandb

        file = workdir / "wandb_id"
        if not file.exists():
            write_atomically(file, wandb.util.generate_id())
        self._run = wandb.init(project="diptych", name=workdir.name, id=file.read_text(encoding="utf-8"), dir=str(workdir), resume="allow")
        self._run.define_metric("*", step_metric="step")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """See Writer."""
        self._run.log({"step": step, **values})

    def flush(self) -> None:
        """See Writer: W&B sends what it gets on its own."""

    def close(self) -> None:
        """See Writer."""
        self._run.finish()


class Many:
    """Several writers as one; none of them: nothing is written."""

    def __init__(self, writers: Sequence[Writer] = ()):
        self._writers = tuple(writers)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """See Writer."""
        for writer in self._writers:
            writer.write(step, values)

    def flush(self) -> None:
        """See Writer."""
        for writer in self._writers:
            writer.flush()

    def close(self) -> None:
        """See Writer."""
        for writer in self._writers:
            writer.close()


WRITERS: Mapping[str, Callable[..., Writer]] = MappingProxyType({"jsonl": JsonLines, "tensorboard": TensorBoard, "wandb": WandB})


def check_writers(spec: LogSpec) -> None:
    """Raises UserError for a writer that is unknown or whose package is missing."""
    for name in spec.writers:
        if name not in WRITERS:
            raise UserError(f"log.writers has {name!r}, which is no writer; accepted are {', '.join(WRITERS)}")
    if "wandb" in spec.writers and importlib.util.find_spec("wandb") is None:
        raise UserError("log.writers has 'wandb', whose package is not installed; accepted is diptych[wandb], or log.writers without it")


def make_writers(spec: LogSpec, workdir: Path, *, resumed_step: int) -> Writer:
    """The writers of `log.writers`, after what `metrics.jsonl` and `events/` have beyond `resumed_step` is dropped (0: all of it).

    Only process 0 writes; the others get a writer that does nothing. Raises UserError as `check_writers` does.
    """
    check_writers(spec)
    if jax.process_index() > 0:
        return Many()
    return Many([WRITERS[name](workdir, resumed_step=resumed_step) for name in spec.writers])


def read_metrics(workdir: Path) -> list[dict[str, Any]]:
    """The records of `metrics.jsonl` in the order they were written, `null` as nan; a last line that a kill cut short is left out."""
    path = workdir / FILE
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    records = [json.loads(line) for line in lines if line.endswith("\n")]
    return [numbers(record) for record in records]


def recorded(workdir: Path, step: int) -> dict[str, float]:
    """All that `metrics.jsonl` has of a step."""
    records = [record for record in read_metrics(workdir) if record["step"] == step]
    return {name: value for record in records for name, value in record.items() if name != "step"}


def keep_until(workdir: Path, step: int) -> None:
    """Rewrites `metrics.jsonl` without the lines after `step` and without a line that was cut short; nothing is lost when it is killed."""
    path = workdir / FILE
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    write_atomically(path, "".join(line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step))
