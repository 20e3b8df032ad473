"""The axes of a sweep: from settings and their values to runs with stable names."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from ..errors import UserError
from ..overrides import parse_override, show, split
from ..pretrain.recipe_file import call
from ..pretrain.spec import Recipe

LONGEST_NAME = 100

Settings = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class SweepRun:
    """One run of a sweep. id: the name of its folder. settings: path -> typed value, sorted by path."""

    id: str
    settings: Settings

    @property
    def overrides(self) -> list[str]:
        """The settings as `a.b.c=value`."""
        return [f"{path}={show(value)}" for path, value in self.settings.items()]


def plan(axes: Sequence[str], module: ModuleType) -> list[SweepRun]:
    """The runs of `--axis` texts and of the recipe's `sweep()`, if it has one: the cross product of both, each run once.

    axes: `path=v1,v2`. A setting that is in both takes the values of `--axis`.
    """
    asked = cross({path: [typed(path, text) for text in split(values)] for path, values in map(axis, axes)})
    points = [{**point, **more} for point in declared(module) for more in asked]
    if not any(points):
        raise UserError("the sweep has no axis; accepted is --axis PATH=VALUE,VALUE, or a recipe file with sweep()")
    names = short_names({path for point in points for path in point})
    unique = {json.dumps(point, sort_keys=True): dict(sorted(point.items())) for point in points}
    return [SweepRun(id=run_id(settings, names), settings=settings) for settings in unique.values()]


def axis(text: str) -> tuple[str, str]:
    """`path=v1,v2` in its two parts."""
    path, _, values = text.partition("=")
    if not split(values):
        raise UserError(f"--axis = {text} has no values; accepted is PATH=VALUE,VALUE")
    return path, values


def declared(module: ModuleType) -> list[dict[str, Any]]:
    """What the recipe's `sweep()` asks for: `{path: [values]}` is a cross product, a list of `{path: value}` the points themselves."""
    if not hasattr(module, "sweep"):
        return [{}]
    asked = call(module, "sweep")
    if isinstance(asked, Mapping) and all(isinstance(values, (list, tuple)) for values in asked.values()):
        return cross({path: [typed(path, show(value)) for value in values] for path, values in asked.items()})
    if isinstance(asked, (list, tuple)) and all(isinstance(point, Mapping) for point in asked):
        return [{path: typed(path, show(value)) for path, value in point.items()} for point in asked]
    raise UserError(f"sweep() of {module.__name__} returns {asked!r}; accepted is {{path: [values]}} or a list of {{path: value}}")


def typed(path: str, text: str) -> Any:
    """The value that the schema reads, so that `3e-4` and `0.0003` name the same run."""
    return parse_override(f"{path}={text}", Recipe).value


def cross(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of one value of each; the last path changes fastest."""
    return [dict(zip(values, point)) for point in itertools.product(*values.values())]


def short_names(paths: set[str]) -> dict[str, str]:
    """The shortest end of each path that no other one shares: `optimizer.peak_lr` -> `peak_lr`."""

    def ends(path: str) -> list[str]:
        parts = path.split(".")
        return [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]

    taken = [end for path in paths for end in ends(path)]
    return {path: next(end for end in ends(path) if taken.count(end) == 1 or end == path) for path in paths}


def run_id(settings: Settings, names: Mapping[str, str]) -> str:
    """`peak_lr=0.0003,seed=0`: the same whatever the order of the axes; a hash follows where a folder cannot be called so."""
    text = ",".join(f"{names[path]}={show(value)}" for path, value in sorted(settings.items()))
    safe = re.sub(r"[^\w.=,+-]+", "_", text, flags=re.ASCII)
    if safe == text and len(text) <= LONGEST_NAME:
        return text
    return f"{safe[:LONGEST_NAME]}-{hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()[:8]}"
