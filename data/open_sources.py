"""The sources that a recipe names."""

from __future__ import annotations

from .source import Source
from .sources.open_source import open_source
from .spec import DataSpec
from .state import ALONE


def open_sources(spec: DataSpec) -> dict[str, Source]:
    """name -> source: the parts of `data.mixture`, or what `data.train` says alone. Raises UserError as `open_source` does."""
    if not spec.mixture:
        return {ALONE: open_source(spec.source, spec.train, setting="data")}
    return {name: open_source(part.source, part.train, setting=f"data.mixture.{name}") for name, part in sorted(spec.mixture.items())}
