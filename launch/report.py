"""Results for a person (tables) and for a program (one line of JSON)."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from ..overrides import show


def json_line(result: Mapping[str, Any]) -> str:
    """The result as one line of JSON; numbers of numpy and jax become plain, those that JSON lacks (nan, inf) become null."""
    return json.dumps(_plain(result), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def cell(value: Any) -> str:
    """A value as a table shows it: numbers with four digits, `-` for nothing."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else show(value)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> None:
    """A table on a terminal; elsewhere plain text with the columns aligned, the same whatever the width."""
    cells = [[cell(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        table = Table(*columns, title=title or None)
        for row in cells:
            table.add_row(*row)
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(columns, *cells)]
    for line in [[title]] * bool(title) + [list(columns), *cells]:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())


def print_values(values: Mapping[str, Any], *, title: str = "") -> None:
    """Named numbers, a row each."""
    print_table(("name", "value"), list(values.items()), title=title)
