"""Recipes: one a file, each with `get_config(arg="")` that returns a plain `ml_collections.ConfigDict`."""

from __future__ import annotations

import pkgutil


def names() -> list[str]:
    """The recipes that `--config` takes by name."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))
