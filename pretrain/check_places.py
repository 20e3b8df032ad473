"""Whether the training shards are where the recipe says: one look, before anything that takes longer is looked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .. import configs
from ..data.shards import first_missing
from ..data.spec import DataSpec, PartSpec
from ..errors import UserError
from .spec import Recipe

SHARDS = "webdataset"


def check_places(recipe: Recipe) -> None:
    """Raises UserError for the first pattern of `data` that names shards of this machine of which the first is not there."""
    for setting, patterns in _patterns(recipe):
        if (missing := first_missing(patterns)) is not None:
            name = recipe.name
            other = f" or --config {name}:PLACE ({configs.argument(name)})" if name in configs.names() else ""
            raise UserError(
                f"{setting} = {missing!r} matches no file from the current folder, {Path.cwd()}; "
                f"accepted is the place of the shards, as --config.{setting}=PLACE{other}"
            )


def _patterns(recipe: Recipe) -> Iterator[tuple[str, tuple[str, ...]]]:
    parts: dict[str, DataSpec | PartSpec] = {f"data.mixture.{name}": part for name, part in recipe.data.mixture.items()}
    for path, part in (parts or {"data": recipe.data}).items():
        kind, _, where = part.source.partition(":")
        if kind == SHARDS:
            yield (f"{path}.source", (where,)) if where else (f"{path}.train", part.train)
