"""Results for a person (tables) and for a program (one line of JSON)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..pretrain.results import plain
from ..pretrain.table import print_table


def json_line(result: Mapping[str, Any]) -> str:
    """The result as one line of JSON; numbers of numpy and jax become plain, those that JSON lacks (nan, inf) become null."""
    return json.dumps(plain(result), allow_nan=False)


def print_values(values: Mapping[str, Any], *, title: str = "") -> None:
    """Named numbers, a row each."""
    print_table(("name", "value"), list(values.items()), title=title)
