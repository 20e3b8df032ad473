"""What must hold of the settings that say where samples, captions and tokens come from."""

from __future__ import annotations

from ..data.sources.open_source import check_source
from ..data.spec import DataSpec
from ..errors import UserError
from .check_text import check_text


def check_data(data: DataSpec) -> None:
    """Raises UserError for the first setting of `data` about samples and captions that cannot be trained with."""
    if data.mixture:
        _check_mixture(data)
    else:
        _check_part("data", data.source, data.train)
    check_text(data)


def _check_mixture(data: DataSpec) -> None:
    for name, part in data.mixture.items():
        _check_part(f"data.mixture.{name}", part.source, part.train)
    if not any(part.weight for part in data.mixture.values()):
        raise UserError(f"data.mixture.{next(iter(data.mixture))}.weight = 0.0 leaves no part to draw from; accepted is a number above 0")


def _check_part(path: str, source: str, train: tuple[str, ...]) -> None:
    """The kind of source is known, and either it or `train` says where."""
    check_source(source, setting=f"{path}.source")
    if not train and ":" not in source:
        raise UserError(f"{path}.train is empty; accepted are one or more shard patterns, such as shards/train-{{00000..00099}}.tar")
