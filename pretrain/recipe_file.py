"""A recipe's Python module: found by name or by path, and what goes wrong in a file of the user's said in one sentence."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_collections

from .. import configs
from ..errors import UserError
from ..nearest import meant

ACCEPTED = "accepted is a file with get_config(arg='') that returns a ConfigDict"


def load_module(config: str) -> tuple[ModuleType, str]:
    """The Python module of a recipe, and what follows the first colon."""
    name, _, arg = config.partition(":")
    if name.endswith(".py"):
        return load_file(Path(name)), arg
    if name not in configs.names():
        known = configs.names()
        raise UserError(
            f"--config = {name} is not a recipe; accepted are {', '.join(known)}, or the path of a .py file{meant(name, known)}"
        )
    return importlib.import_module(f"{configs.__name__}.{name}"), arg


def load_file(path: Path) -> ModuleType:
    """Runs a recipe file of the user's."""
    if not path.is_file():
        raise UserError(f"--config = {path} is not there; accepted are a file with get_config(), or one of {', '.join(configs.names())}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:
        raise failure(error, file=str(path)) from error
    if not callable(getattr(module, "get_config", None)):
        raise UserError(f"--config = {path} has no get_config that can be called; {ACCEPTED}")
    return module


def get_config(module: ModuleType, arg: str, *, config: str) -> ml_collections.ConfigDict:
    """What the recipe's `get_config` returns, as a ConfigDict that may be added to."""
    takes_arg = bool(inspect.signature(module.get_config).parameters)
    if arg and not takes_arg:
        raise UserError(f"--config = {config} gives an argument, but this recipe's get_config() takes none")
    values = call(module, "get_config", *([arg] if takes_arg else []))
    if not isinstance(values, ml_collections.ConfigDict):
        raise UserError(f"--config = {config} returns a {type(values).__name__} from get_config; accepted is an ml_collections.ConfigDict")
    return values


def call(module: ModuleType, function: str, *arguments: str) -> Any:
    """What a function of the recipe returns; UserError where it raises."""
    try:
        return getattr(module, function)(*arguments)
    except UserError:
        raise
    except Exception as error:
        raise failure(error, file=str(module.__file__), function=f"{function}() of ") from error


def failure(error: Exception, *, file: str, function: str = "") -> UserError:
    """The answer to an exception of a recipe's code: its line there, or in the file that cannot be parsed."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    line, said = (lines[-1] if lines else None), str(error)
    if isinstance(error, SyntaxError):
        file, line, said = error.filename or file, error.lineno, error.msg
    place = file if line is None else f"{file}, line {line}"
    return UserError(f"--config: {function}{place}, raises {type(error).__name__} ({' '.join(said.split())}); {ACCEPTED}")
