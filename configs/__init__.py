"""Recipes: one a file, each with `get_config(arg="")` that returns a plain `ml_collections.ConfigDict`."""

from __future__ import annotations

import importlib
import pkgutil


def names() -> list[str]:
    """The recipes that `--config` takes by name."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def argument(name: str) -> str:
    """What `--config NAME:ARG` is to a recipe, as the last line of its docstring says it."""
    text = importlib.import_module(f"{__name__}.{name}").__doc__ or ""
    return text.partition("\narg: ")[2].strip().rstrip(".")
