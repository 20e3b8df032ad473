"""Plans on disk, so that a step is compiled once: small JSON files named by what went into the compiler."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

READING = 4  # raised when what is read off a compiled step changes, so that older files are not taken for it


def plan_key(program: str, topology: str, compiler: str, options: Mapping[str, Any]) -> str:
    """A name for a lowered program on a topology under a compiler and its options."""
    parts = json.dumps([READING, program, topology, compiler, sorted(options.items())], default=str)
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


@dataclasses.dataclass(frozen=True)
class PlanCache:
    """A folder, made when it is written to. What cannot be read does not count; what cannot be written is not kept."""

    folder: Path

    def read(self, key: str) -> dict[str, Any] | None:
        """What `write` was given."""
        try:
            return json.loads((self.folder / f"{key}.json").read_text())
        except (OSError, ValueError):
            return None

    def write(self, key: str, value: Mapping[str, Any]) -> None:
        """`value`: anything that JSON holds."""
        part = self.folder / f"{key}.{os.getpid()}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(value))
            part.replace(self.folder / f"{key}.json")
        except OSError:
            return
