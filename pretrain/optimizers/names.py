"""Settings that pick parameters by regular expressions on their dotted names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from ...errors import UserError


def check_pattern(pattern: str, names: Iterable[str], *, setting: str) -> None:
    """Raises UserError where `pattern` matches the whole of none of `names`; the sentence names the nearest of them."""
    names = list(names)
    if any(matches(name, (pattern,)) for name in names):
        return
    plain = re.sub(r"\\(.)", r"\1", pattern).replace(".*", "")
    nearest = ", ".join(difflib.get_close_matches(plain, names, n=3, cutoff=0.0))
    raise UserError(f"{setting} has {pattern!r}, which matches no parameter; accepted are patterns of names such as {nearest}")


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns matches the whole of a parameter's name."""
    return any(re.fullmatch(pattern, name) for pattern in patterns)
