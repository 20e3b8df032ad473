"""Durations: what a recipe may state in steps, samples, epochs or percent, and every part of a run reads in steps."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..data.open_sources import open_sources
from ..data.spec import DataSpec
from ..errors import UserError
from ..schema import build, duration_paths
from .spec import Recipe, TrainSpec

FORM = re.compile(r"([0-9][0-9_]*(?:\.[0-9]*)?(?:e[0-9]{1,2})?)\s*(steps?|samples?|epochs?|%)?")
ACCEPTED = "accepted is a number of steps, or a text such as 2000 steps, 1e6 samples, 1.5 epochs or 5%"
TOTAL = "train.steps"


def in_steps(given: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's plain values with every duration that is a text turned into steps; percents are of `train.steps`.

    An epoch is `data.epoch_samples` samples, or where that is absent as many as the sources hold, which are opened for it. A duration that
    is not zero is one step at least. Raises UserError for a text that is no duration.
    """
    values = copy.deepcopy(dict(given))
    batch_size = positive(at(values, "train.batch_size")) or TrainSpec().batch_size
    for path in sorted(duration_paths(Recipe), key=lambda path: path != TOTAL):
        group, _, name = path.rpartition(".")
        if isinstance(text := at(values, path), str):
            total = positive(at(values, TOTAL)) or TrainSpec().steps
            at(values, group)[name] = steps_of(text, setting=path, batch_size=batch_size, total=total, epoch=lambda: epoch_of(values))
    return values


def steps_of(text: str, *, setting: str, batch_size: int, total: int, epoch: Callable[[], int]) -> int:
    """`text` in steps: an amount and `steps` (or nothing), `samples`, `epochs` or `%`. epoch: says how many samples an epoch has."""
    found = FORM.fullmatch(text.strip())
    if found is None:
        raise UserError(f"{setting} = {text!r} is no duration; {ACCEPTED}")
    amount, unit = float(found[1].replace("_", "")), (found[2] or "steps").removesuffix("s")
    match unit:
        case "step" if not amount.is_integer():
            raise UserError(f"{setting} = {text!r} is no whole number of steps; accepted is one")
        case "%" if setting == TOTAL:
            raise UserError(f"{setting} = {text!r} is a share of itself; accepted are steps, samples or epochs")
        case "%" if amount > 100:
            raise UserError(f"{setting} = {text!r} is more than {TOTAL}; accepted is at most 100%")
        case "step":
            steps = amount
        case "sample":
            steps = amount / batch_size
        case "epoch":
            steps = amount * epoch() / batch_size
        case _:
            steps = amount / 100 * total
    return max(round(steps), 1) if amount else 0


def positive(value: Any) -> int | None:
    """The value, if it is a number of steps or samples; what it is else is answered when the recipe is built."""
    return value if type(value) is int and value > 0 else None


def epoch_of(values: Mapping[str, Any]) -> int:
    """Samples of an epoch."""
    data = build(DataSpec, values.get("data", {}), path="data")
    return data.epoch_samples or sum(len(source) for source in open_sources(data).values())


def at(values: Any, path: str) -> Any:
    """The value at a dotted path of nested dicts; None where there is none."""
    return functools.reduce(lambda part, key: part.get(key) if isinstance(part, dict) else None, path.split("."), values)
