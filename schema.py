"""Plain values -> frozen dataclasses, once, at the door: unknown keys, wrong types and overrides are answered in one sentence."""

from __future__ import annotations

import dataclasses
from typing import Any


def runtime(default: Any) -> Any:
    """A field that is not part of a run's identity: it may change between two starts of the same run."""
    return dataclasses.field(default=default, metadata={"runtime": True})
