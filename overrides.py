"""Overrides as text, `a.b.c=value` -> a path and a value typed by the schema, never by a guess from the text."""

from __future__ import annotations

import ast
import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from .errors import UserError
from .schema import convert, describe, duration_paths, field_types, is_group, is_mapping, optional_of, unknown_key, wrong_type

WORDS = {"true": True, "false": False}


@dataclasses.dataclass(frozen=True)
class Override:
    """One setting: the keys that lead to it, and its value."""

    keys: tuple[str, ...]
    value: Any

    @property
    def path(self) -> str:
        """`a.b.c`."""
        return ".".join(self.keys)


def parse_override(text: str, cls: type) -> Override:
    """`a.b.c=value` against the dataclass `cls`.

    int: `3`, `1_000`; float: `1e-3`, `3`; bool: `true`, `false`; optional: `none`; list: items between commas that stand outside of braces
    (`a-{0..3}.tar,b.tar`), or a Python literal (`(0.8, 1.0)`); a mapping's entry: `objective.terms.sigmoid=1`, or all of it as a Python
    literal; a duration: an int, or as it stands (`5%`). Raises UserError for an unknown path, a value that cannot be read as its type, or a
    whole group of settings.
    """
    path, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"the override {text!r} has no value; accepted is PATH=VALUE")
    keys, kind = tuple(path.split(".")), kind_at(path, cls)
    try:
        return Override(keys=keys, value=read(value, kind, path=path))
    except UserError:
        if path in duration_paths(cls):  # in another unit than steps
            return Override(keys=keys, value=value)
        raise


def kind_at(path: str, cls: type) -> Any:
    """The annotation of the setting at `path`; UserError where there is none."""
    kind: Any = cls
    keys = path.split(".")
    for depth, key in enumerate(keys):
        kind = optional_of(kind) or kind
        if is_mapping(kind) and key:
            kind = typing.get_args(kind)[1]
        elif is_group(kind) and key in field_types(kind):
            kind = field_types(kind)[key]
        elif is_group(kind):
            raise unknown_key(".".join(keys[: depth + 1]), field_types(kind))
        else:
            raise UserError(f"{path} is not a setting; {'.'.join(keys[:depth])} is {describe(kind)} and has no parts")
    return kind


def read(text: str, kind: Any, *, path: str) -> Any:
    """`text` as a value of the annotation `kind`."""
    inner = optional_of(kind)
    if inner is not None:
        return None if text.lower() == "none" else read_as(text, inner, path=path, said=kind)
    return read_as(text, kind, path=path, said=kind)


def read_as(text: str, kind: Any, *, path: str, said: Any) -> Any:
    """The same below an optional; `said` is what the message calls it."""
    if is_group(kind):
        example = f"{path}.{next(iter(field_types(kind)))}"
        raise UserError(f"{path} = {text!r} would replace a whole group of settings; accepted are its parts, such as {example}=VALUE")
    if is_mapping(kind):
        value = literal(text)
        if not isinstance(value, Mapping):
            raise wrong_type(path, text, said)
        convert(kind, value, path=path)
        return value
    if typing.get_origin(kind) is tuple:
        value = literal(text) if text[:1] in ("(", "[") else None
        if isinstance(value, (tuple, list)):
            return convert(kind, value, path=path)
        item = typing.get_args(kind)[0]
        return convert(said, [read(part, item, path=path) for part in split(text)], path=path)
    try:
        return WORDS[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        raise wrong_type(path, text, said) from None


def literal(text: str) -> Any:
    """`text` as a Python literal; None where it is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None


def split(text: str) -> list[str]:
    """Parts between commas that stand outside of braces, brackets and parentheses; blanks around them are dropped."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "{[(") - (character in "}])")
        if character == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts] if text.strip() else []


def show(value: Any) -> str:
    """The text that `parse_override` reads back as `value`."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else repr(value)
