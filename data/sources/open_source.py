"""Which source a recipe names."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from ...errors import UserError
from ...nearest import meant
from ..source import Source

KINDS = ("webdataset", "tfds", "parquet", "folder", "shapes")
ACCEPTED = f"accepted is one of {', '.join(KINDS)}, alone or as KIND:WHERE"


def check_source(source: str, *, setting: str) -> None:
    """Raises UserError for a kind that there is not."""
    kind = source.partition(":")[0]
    if kind not in KINDS:
        raise UserError(f"{setting} = {source!r} is unknown; {ACCEPTED}{meant(kind, KINDS)}")


def open_source(source: str, patterns: Sequence[str], *, setting: str, places_setting: str) -> Source:
    """The samples that `source` (`KIND`, or `KIND:WHERE`, where WHERE takes the place of `patterns`) names.

    setting, places_setting: what `source` and `patterns` are called where the user gives them (`data.source`, `data.train`). UserError.
    """
    check_source(source, setting=setting)
    kind, _, where = source.partition(":")
    named = setting if where else places_setting
    places = (where,) if where else tuple(patterns)
    if kind == "webdataset":
        from ..index import index_shards

        return index_shards(places, setting=named)
    if not places:
        raise UserError(f"{places_setting} is empty and {setting} = {source!r} does not say where the samples are; {ACCEPTED}")
    module = importlib.import_module(f"{__package__}.{kind}")
    return module.open_places(places, setting=named)
