"""Results as JSON that every reader takes: what is not a finite number is null in it, and nan when it is read back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .run_folder import write_atomically

FILE = "result.json"


def plain(value: Any) -> Any:
    """Mappings and lists of what JSON has: numbers of numpy and jax become Python's, nan and inf become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """The whole file or the old one."""
    write_atomically(path, json.dumps(plain(value), indent=1, allow_nan=False) + "\n")


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Metrics that were read from JSON: null is nan."""
    return {name: math.nan if value is None else value for name, value in values.items()}


def read_result(workdir: Path) -> dict[str, float]:
    """The final metrics of a run that has ended; empty where there are none."""
    path = workdir / FILE
    return numbers(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def write_result(workdir: Path, metrics: Mapping[str, float]) -> None:
    """Marks the run as ended."""
    write_json(workdir / FILE, metrics)


def drop_result(workdir: Path) -> None:
    """The run is not ended any more: it goes on to more steps."""
    (workdir / FILE).unlink(missing_ok=True)
