"""Which source a recipe names."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from ...errors import UserError
from ..source import Source

KINDS = ("webdataset", "tfds", "parquet", "folder", "shapes")
ACCEPTED = f"accepted is one of {', '.join(KINDS)}, alone (then data.train says where) or as KIND:WHERE"


def check_source(source: str, *, setting: str) -> None:
    """Raises UserError for a kind that there is not."""
    if source.partition(":")[0] not in KINDS:
        raise UserError(f"{setting} = {source!r} is unknown; {ACCEPTED}")


def open_source(source: str, patterns: Sequence[str], *, setting: str) -> Source:
    """The samples that `source` (`KIND`, or `KIND:WHERE`, where WHERE takes the place of `patterns`) names.

    setting: the recipe path of the part that holds `source` and `train`, such as `data`, for messages. Raises UserError.
    """
    check_source(source, setting=f"{setting}.source")
    kind, _, where = source.partition(":")
    named = f"{setting}.source" if where else f"{setting}.train"
    places = (where,) if where else tuple(patterns)
    if kind == "webdataset":
        from ..index import index_shards

        return index_shards(places, setting=named)
    if not places:
        raise UserError(f"{named} is empty; {ACCEPTED}")
    module = importlib.import_module(f"{__package__}.{kind}")
    return module.open_places(places, setting=named)
