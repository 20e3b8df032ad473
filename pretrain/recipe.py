"""From a recipe's name and overrides to a checked `Recipe`. No jax: wrong input is answered before anything heavy is imported."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from ..errors import UserError
from ..overrides import Override, kind_at, parse_override
from ..schema import build, identity, wrong_type
from .check import check
from .check_optimizer import DECAYING
from .durations import in_steps
from .recipe_file import get_config, load_module
from .spec import Recipe


def load_recipe(config: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe `config` with `overrides` applied, validated.

    config: a name in `diptych.configs` or the path of a .py file, each with an optional `:arg` for its `get_config`.
    overrides: `a.b.c=value`. They are typed by the schema and put into the ConfigDict, so that what refers lazily to a value follows it.
    Raises UserError for anything in either that cannot be trained, as far as that can be known without devices and files. Files are opened
    for a duration in epochs alone, and only where `data.epoch_samples` does not say what an epoch is.
    """
    module, arg = load_module(config)
    values = get_config(module, arg, config=config)
    for override in [parse_override(text, Recipe) for text in overrides]:
        apply(values, override)
    try:
        plain = values.to_dict()
    except ml_collections.config_dict.RequiredValueError as error:
        raise UserError(f"--config = {config} leaves a required value open ({error}); accepted is a value for it") from None
    except (ArithmeticError, TypeError, ValueError) as error:  # of a lazy reference, which is computed here
        raise UserError(f"--config = {config} refers to a value that cannot be computed ({error}); accepted are values that can") from error
    recipe = build(Recipe, {"name": config.partition(":")[0].rpartition("/")[2].removesuffix(".py"), **in_steps(plain)})
    check(recipe)
    return recipe


def apply(values: ml_collections.ConfigDict, override: Override) -> None:
    """Sets one value; groups on the way to it that are absent or None are made."""
    *parents, last = override.keys
    for depth, key in enumerate(parents, start=1):
        if values.get(key) is None:
            put(values, key, ml_collections.ConfigDict())
        values = values[key]
        if not isinstance(values, ml_collections.ConfigDict):
            path = ".".join(parents[:depth])
            raise wrong_type(path, values, kind_at(path, Recipe))
    put(values, last, override.value)


def put(values: ml_collections.ConfigDict, key: str, value: Any) -> None:
    """Sets one key whatever its type was: the schema has judged the type already, and the ConfigDict knows less of it."""
    value = ml_collections.ConfigDict(value) if isinstance(value, Mapping) else value
    with values.unlocked(), values.ignore_type():
        values[key] = value


def run_identity(recipe: Recipe) -> dict[str, Any]:
    """What makes two runs the same run: `identity` with `optimizer.decay_steps` resolved.

    Where the schedule decays or cools down, its end is part of the identity, even when it comes from `train.steps`; elsewhere a run may be
    lengthened.
    """
    values = identity(recipe)
    decays = recipe.optimizer.schedule in DECAYING or recipe.optimizer.cooldown_steps > 0
    values["optimizer"]["decay_steps"] = (recipe.optimizer.decay_steps or recipe.train.steps) if decays else None
    return values


def identity_hash(recipe: Recipe) -> str:
    """sha256, in hexadecimal, of the canonical JSON of `run_identity`."""
    text = json.dumps(run_identity(recipe), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
