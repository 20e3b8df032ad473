"""The run folder: the run's identity on disk."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

from ..data.decode_fast import image_versions
from ..errors import UserError
from ..schema import build, to_dict
from .recipe import identity_hash, run_identity
from .spec import Recipe

CHECKPOINTS = "checkpoints"
PARTS = ("recipe", "identity", "hash", "versions")
PACKAGES = ("diptych", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


def versions() -> dict[str, str]:
    """Versions of everything that can change a number."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}, **image_versions()}


def write_atomically(path: Path, text: str) -> None:
    """The file has the old text or the new one, never a part."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def describe(recipe: Recipe) -> dict[str, Any]:
    """What `recipe.json` and every checkpoint say of the run: the resolved recipe, its identity and hash, the versions."""
    return {"recipe": to_dict(recipe), "identity": run_identity(recipe), "hash": identity_hash(recipe), "versions": versions()}


def read_run(workdir: Path) -> dict[str, Any]:
    """The content of a run's `recipe.json`; UserError where there is none, or a broken one."""
    path = workdir / "recipe.json"
    if not path.is_file():
        raise UserError(f"--workdir = {workdir} holds no run (no recipe.json in it); accepted is the folder of a training run")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is broken ({error}); accepted is the file as the run wrote it") from None
    missing = [part for part in PARTS if not isinstance(content, dict) or part not in content]
    if missing:
        raise UserError(f"{path} is broken (it has no {' and no '.join(missing)}); accepted is the file as the run wrote it")
    return content


def read_recipe(workdir: Path) -> Recipe:
    """The recipe of the run in a folder; UserError where this version cannot read it."""
    content = read_run(workdir)["recipe"]
    try:
        return build(Recipe, content)
    except UserError as error:  # of another version of diptych, or changed by hand
        raise UserError(f"{workdir / 'recipe.json'}: {error}") from None


def saved_steps(workdir: Path) -> list[int]:
    """The steps of the run's checkpoints, oldest first: one appears under its step's number when it is complete."""
    folder = workdir / CHECKPOINTS
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal()) if folder.is_dir() else []


def write_recipe(workdir: Path, recipe: Recipe) -> None:
    """Writes `recipe.json`."""
    write_atomically(workdir / "recipe.json", json.dumps(describe(recipe), indent=1) + "\n")
