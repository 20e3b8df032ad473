"""A name that there is not: which of those that there are was probably meant. No jax."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from .errors import UserError


def meant(word: str, known: Iterable[str]) -> str:
    """` (did you mean NAME?)` with the nearest of `known`, whatever the capitals; nothing where none is near."""
    names = {name.lower(): name for name in known}
    nearest = difflib.get_close_matches(word.lower(), names, n=1)
    return f" (did you mean {names[nearest[0]]}?)" if nearest else ""


def unknown_value(path: str, value: str, known: Iterable[str]) -> UserError:
    """The answer to a setting whose value is none of `known`."""
    known = list(known)
    return UserError(f"{path} = {value!r} is unknown; accepted is {' or '.join(known)}{meant(value, known)}")
