"""Tables: the one printer of them, for a terminal and for a log."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from ..overrides import show


def cell(value: Any) -> str:
    """A value as a table shows it: numbers with four digits, `-` for nothing."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else show(value)


def drawn_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> Table:
    """For a terminal."""
    table = Table(*columns, title=title or None)
    for row in rows:
        table.add_row(*map(cell, row))
    return table


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> str:
    """Lines with the columns aligned, the same whatever the width."""
    cells = [list(columns), *([cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in cells]
    return "\n".join([title] * bool(title) + lines)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> None:
    """On stdout, as suits it."""
    if sys.stdout.isatty():
        Console().print(drawn_table(columns, rows, title=title))
    else:
        print(plain_table(columns, rows, title=title), flush=True)
