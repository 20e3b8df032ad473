"""Rerunning in a folder goes on with the run in it: whether the recipe is that run's."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

from ..data.orders import kind_of_order
from ..data.spec import DataSpec
from ..errors import UserError
from ..schema import differences
from .recipe import COOLDOWN, another_identity, in_cooldown
from .run_folder import describe, read_run, saved_steps
from .spec import Recipe

LOG = logging.getLogger("diptych")
ORDER = ("order", "streams", "block_shards")  # of data
OF_DATA = ("seed", "model.text.context_length")  # beside all of data


def check_identity(workdir: Path, recipe: Recipe, *, force_data: bool = False) -> None:
    """Refuses a folder that holds another run, naming the first differing key; logs what else differs.

    A folder in which nothing was saved yet holds no run: a recipe that failed at its start can be corrected. A cool-down that has begun
    neither in the saved run nor in this one may be another: it can start from any checkpoint of a long run. The settings of the order are
    left to `check_order`. force_data: a key that decides which samples are seen is logged instead.
    """
    if not _holds_a_run(workdir):
        return
    saved, now = read_run(workdir), describe(recipe)
    elsewhere = {f"data.{name}" for name in ORDER}
    if not any(in_cooldown(run["identity"], saved_steps(workdir)[-1]) for run in (saved, now)):
        elsewhere.update(COOLDOWN)
    for path, old, new in differences(saved["identity"], now["identity"]):
        if path not in elsewhere:
            _differs(workdir, recipe, (path, old, new), force_data=force_data)
    for part in ("recipe", "versions"):
        for path, old, new in differences(saved[part], now[part]):
            LOG.info("resuming with %s = %s (was %s)", path, new, old)


def check_order(workdir: Path, recipe: Recipe, *, samples: int, force_data: bool = False) -> None:
    """As `check_identity`, for the settings of the order by what they come to for so many samples: an exact order has no streams."""
    if not _holds_a_run(workdir):
        return
    saved = read_run(workdir)["identity"]["data"]
    then = dataclasses.replace(recipe.data, **{name: saved[name] for name in ORDER if name in saved})
    for difference in differences(_order(then, samples=samples), _order(recipe.data, samples=samples)):
        _differs(workdir, recipe, difference, force_data=force_data)


def _holds_a_run(workdir: Path) -> bool:
    return (workdir / "recipe.json").exists() and bool(saved_steps(workdir))


def _order(data: DataSpec, *, samples: int) -> dict[str, Any]:
    kind = kind_of_order(data, samples=samples)
    return {"data.order": kind} | ({"data.streams": data.streams, "data.block_shards": data.block_shards} if kind == "block" else {})


def _differs(workdir: Path, recipe: Recipe, difference: tuple[str, Any, Any], *, force_data: bool) -> None:
    path, old, new = difference
    of_data = path.startswith("data.") or path in OF_DATA
    if of_data and force_data:
        LOG.warning("--force-data: going on with %s = %s (was %s)", path, new, old)
        return
    accepted = ", --force-data, or another folder" if of_data else ", or another folder"
    raise UserError(f"--workdir = {workdir} holds a run with {another_identity(recipe, path, old, new)}{accepted}")
