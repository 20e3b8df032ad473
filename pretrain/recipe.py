"""From a recipe's name and overrides to a checked `Recipe`. No jax: wrong input is answered before anything heavy is imported."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_collections

from .. import configs
from ..errors import UserError
from ..overrides import Override, parse_override
from ..schema import build, identity
from .check import check
from .check_devices import check_devices
from .check_parts import check_tokenizer
from .spec import Recipe

__all__ = ["check", "check_devices", "check_tokenizer", "identity_hash", "load_module", "load_recipe", "run_identity"]

DECAYING = ("cosine", "linear")


def load_recipe(config: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe `config` with `overrides` applied, validated.

    config: a name in `diptych.configs` or the path of a .py file, each with an optional `:arg` for its `get_config`.
    overrides: `a.b.c=value`. They are typed by the schema and put into the ConfigDict, so that what refers lazily to a value follows it.
    Raises UserError for anything in either that cannot be trained, as far as that can be known without devices and files.
    """
    module, arg = load_module(config)
    values = get_config(module, arg, config=config)
    for override in [parse_override(text, Recipe) for text in overrides]:
        apply(values, override)
    try:
        plain = values.to_dict()
    except ml_collections.config_dict.RequiredValueError as error:
        raise UserError(f"--config = {config} leaves a required value open: {error}") from None
    recipe = build(Recipe, {"name": config.partition(":")[0].rpartition("/")[2].removesuffix(".py"), **plain})
    check(recipe)
    return recipe


def load_module(config: str) -> tuple[ModuleType, str]:
    """The Python module of a recipe, and what follows the first colon."""
    name, _, arg = config.partition(":")
    if name.endswith(".py"):
        return load_file(Path(name)), arg
    if name not in configs.names():
        raise UserError(f"--config = {name} is not a recipe; accepted are {', '.join(configs.names())}, or the path of a .py file")
    return importlib.import_module(f"{configs.__name__}.{name}"), arg


def load_file(path: Path) -> ModuleType:
    """Runs a recipe file of the user's."""
    if not path.is_file():
        raise UserError(f"--config = {path} is not there; accepted are a file with get_config(), or one of {', '.join(configs.names())}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise UserError(f"--config = {path} has no get_config; accepted is a file with get_config(arg='') that returns a ConfigDict")
    return module


def get_config(module: ModuleType, arg: str, *, config: str) -> ml_collections.ConfigDict:
    """What the recipe's `get_config` returns, as a ConfigDict that may be added to."""
    takes_arg = bool(inspect.signature(module.get_config).parameters)
    if arg and not takes_arg:
        raise UserError(f"--config = {config} gives an argument, but this recipe's get_config() takes none")
    values = module.get_config(arg) if takes_arg else module.get_config()
    if not isinstance(values, ml_collections.ConfigDict):
        raise UserError(f"--config = {config} returns a {type(values).__name__} from get_config; accepted is an ml_collections.ConfigDict")
    return values


def apply(values: ml_collections.ConfigDict, override: Override) -> None:
    """Sets one value; groups on the way to it that are absent or None are made."""
    *parents, last = override.keys
    for key in parents:
        if values.get(key) is None:
            put(values, key, ml_collections.ConfigDict())
        values = values[key]
    put(values, last, override.value)


def put(values: ml_collections.ConfigDict, key: str, value: Any) -> None:
    """Sets one key whatever its type was: the schema has judged the type already, and the ConfigDict knows less of it."""
    value = ml_collections.ConfigDict(value) if isinstance(value, Mapping) else value
    with values.unlocked(), values.ignore_type():
        values[key] = value


def run_identity(recipe: Recipe) -> dict[str, Any]:
    """What makes two runs the same run: `identity` with `optimizer.decay_steps` resolved.

    Where the schedule decays, its end is part of the identity, even when it comes from `train.steps`; elsewhere a run may be lengthened.
    """
    values = identity(recipe)
    decays = recipe.optimizer.schedule in DECAYING
    values["optimizer"]["decay_steps"] = (recipe.optimizer.decay_steps or recipe.train.steps) if decays else None
    return values


def identity_hash(recipe: Recipe) -> str:
    """sha256, in hexadecimal, of the canonical JSON of `run_identity`."""
    text = json.dumps(run_identity(recipe), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
