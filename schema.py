"""Plain values -> frozen dataclasses, once, at the door: unknown keys and wrong types are answered in one sentence. No jax."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from .errors import UserError

T = TypeVar("T")
V = TypeVar("V")
ABSENT = "absent"
SCALARS = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}


def runtime(default: Any) -> Any:
    """A field that is not part of a run's identity: it may change between two starts of the same run."""
    return dataclasses.field(default=default, metadata={"runtime": True})


def duration(default: Any, *, identity: bool = True) -> Any:
    """A field of steps, which a recipe may state in samples, epochs or percent too (`pretrain/durations.py`); not `identity`: `runtime`."""
    return dataclasses.field(default=default, metadata={"runtime": not identity, "duration": True})


def duration_paths(cls: type, *, path: str = "") -> set[str]:
    """The dotted paths of the fields that are a `duration`, in the nested groups of a dataclass."""
    kinds, found = field_types(cls), set()
    for field in dataclasses.fields(cls):
        kind = optional_of(kinds[field.name]) or kinds[field.name]
        if field.metadata.get("duration"):
            found.add(_join(path, field.name))
        elif is_group(kind):
            found |= duration_paths(kind, path=_join(path, field.name))
    return found


class FrozenMapping(Mapping[str, V]):
    """A mapping that cannot change: hashable, picklable, in the order of its items. It equals a dict of the same items."""

    def __init__(self, items: Mapping[str, V] | Iterable[tuple[str, V]] = ()):
        self._items = dict(items)

    def __getitem__(self, key: str) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return f"FrozenMapping({self._items!r})"


def field_types(cls: type) -> dict[str, Any]:
    """The fields of a dataclass and their resolved annotations."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def optional_of(kind: Any) -> Any | None:
    """X for an annotation `X | None`, else None."""
    if typing.get_origin(kind) not in (types.UnionType, typing.Union):
        return None
    return next(part for part in typing.get_args(kind) if part is not type(None))


def is_group(kind: Any) -> bool:
    """Whether the annotation is a nested dataclass."""
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def is_mapping(kind: Any) -> bool:
    """Whether the annotation is `Mapping[str, X]`."""
    return typing.get_origin(kind) is Mapping


def describe(kind: Any, *, plural: bool = False) -> str:
    """What a setting of this annotation accepts, in words."""
    inner = optional_of(kind)
    if inner is not None:
        return f"{describe(inner)} or none"
    if kind in SCALARS:
        many = {int: "integers", float: "numbers", str: "strings", bool: "values true or false"}
        return many[kind] if plural else SCALARS[kind]
    if is_group(kind):
        return "groups of settings" if plural else f"a group of settings ({', '.join(field_types(kind))})"
    arguments = typing.get_args(kind)
    if is_mapping(kind):
        return f"names with {describe(arguments[1], plural=True)}"
    return f"{'lists' if plural else 'a list'} of {_items(arguments)}"


def _items(arguments: tuple[Any, ...]) -> str:
    """What a tuple of these annotations holds, in words."""
    if arguments[-1] is ...:
        return describe(arguments[0], plural=True)
    if len(set(arguments)) == 1:
        return f"{len(arguments)} {describe(arguments[0], plural=True)}"
    return " and ".join(map(describe, arguments))


def unknown_key(path: str, known: Iterable[str]) -> UserError:
    """The answer to a key that the schema does not have: `path` in full, and the nearest of `known` under the same parent."""
    parent, _, key = path.rpartition(".")
    known = list(known)
    nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    prefix = f"{parent}." if parent else ""
    hint = f"did you mean {prefix}{nearest[0]}?" if nearest else f"accepted are {', '.join(prefix + name for name in known)}"
    return UserError(f"{path} is not a setting; {hint}")


def wrong_type(path: str, value: Any, kind: Any) -> UserError:
    """The answer to a value that the annotation does not admit."""
    return UserError(f"{path} = {value!r} has the wrong type; accepted is {describe(kind)}")


def build(cls: type[T], values: Mapping[str, Any], *, path: str = "") -> T:
    """`values` (nested mappings, lists, scalars) as an instance of the frozen dataclass `cls`; absent fields take their default.

    Lists become tuples, mappings FrozenMapping, integers floats where a float is asked for.
    Raises UserError that names the full path of an unknown key (and the nearest known one), of a value of the wrong type, or of a number
    that is not finite.
    """
    if not isinstance(values, Mapping):
        raise wrong_type(path or cls.__name__, values, cls)
    kinds = field_types(cls)
    for key in values:
        if key not in kinds:
            raise unknown_key(_join(path, key), kinds)
    built = {key: convert(kinds[key], value, path=_join(path, key)) for key, value in values.items()}
    empty: dict[str, Any] = {key: FrozenMapping() for key, kind in kinds.items() if is_mapping(kind) and key not in built}
    return cls(**built, **empty)


def convert(kind: Any, value: Any, *, path: str) -> Any:
    """One value as its annotation wants it; UserError where it cannot be."""
    inner = optional_of(kind)
    if inner is not None:
        return None if value is None else _convert(inner, value, path=path, said=kind)
    return _convert(kind, value, path=path, said=kind)


def _convert(kind: Any, value: Any, *, path: str, said: Any) -> Any:
    if is_group(kind):
        return value if isinstance(value, kind) else build(kind, value, path=path)
    if is_mapping(kind):
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise wrong_type(path, value, said)
        return FrozenMapping({key: convert(typing.get_args(kind)[1], item, path=_join(path, key)) for key, item in value.items()})
    if typing.get_origin(kind) is tuple:
        return _tuple(kind, value, path=path, said=said)
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise wrong_type(path, value, said)
    return _finite(value, path=path) if kind is float else value


def _finite(value: float, *, path: str) -> float:
    """The number as a float; UserError for nan and inf, which no setting means, and for an integer that is more than floats hold."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isfinite(number):
        return number
    raise UserError(f"{path} = {value} is out of range; accepted is a finite number")


def _tuple(kind: Any, value: Any, *, path: str, said: Any) -> tuple[Any, ...]:
    arguments = typing.get_args(kind)
    if not isinstance(value, (list, tuple)) or (arguments[-1] is not ... and len(value) != len(arguments)):
        raise wrong_type(path, value, said)
    kinds = [arguments[0]] * len(value) if arguments[-1] is ... else arguments
    return tuple(convert(kind, item, path=f"{path}[{index}]") for index, (kind, item) in enumerate(zip(kinds, value)))


def to_dict(instance: Any) -> dict[str, Any]:
    """A built dataclass as what JSON can hold: tuples become lists, groups and mappings dicts."""
    return {field.name: _plain(getattr(instance, field.name), to_dict) for field in dataclasses.fields(instance)}


def identity(instance: Any) -> dict[str, Any]:
    """`to_dict` without the fields that are marked `runtime`, at every level."""
    kept = (field.name for field in dataclasses.fields(instance) if not field.metadata.get("runtime"))
    return {name: _plain(getattr(instance, name), identity) for name in kept}


def _plain(value: Any, group: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return group(value)
    if isinstance(value, Mapping):
        return {key: _plain(item, group) for key, item in value.items()}
    return [_plain(item, group) for item in value] if isinstance(value, tuple) else value


def differences(saved: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """The settings in which two dicts of `identity` or `to_dict` differ: (full path, saved value, value now), in order.

    A key that one of them lacks has the value `absent` there.
    """
    for key in [*now, *(key for key in saved if key not in now)]:
        old, new = saved.get(key, ABSENT), now.get(key, ABSENT)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from ((f"{key}.{path}", before, after) for path, before, after in differences(old, new))
        elif old != new:
            yield key, old, new


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else str(key)
