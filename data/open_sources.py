"""The sources that a recipe names."""

from __future__ import annotations

from .source import Source
from .sources.open_source import open_source
from .spec import DataSpec, PartSpec
from .state import ALONE


def open_sources(spec: DataSpec) -> dict[str, Source]:
    """name -> source: the parts of `data.mixture`, or what `data.train` says alone. Raises UserError as `open_source` does."""
    if not spec.mixture:
        return {ALONE: _open(spec, "data")}
    return {name: _open(part, f"data.mixture.{name}") for name, part in sorted(spec.mixture.items())}


def _open(part: DataSpec | PartSpec, path: str) -> Source:
    return open_source(part.source, part.train, setting=f"{path}.source", places_setting=f"{path}.train")
