"""Rerunning in a folder goes on with the run in it: whether the recipe is that run's."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from ..errors import UserError
from ..schema import differences
from .run_differences import Difference, identity_differences, in_words, order_differences
from .run_folder import describe, read_run, saved_steps
from .spec import Recipe

LOG = logging.getLogger("diptych")


def check_identity(workdir: Path, recipe: Recipe, *, force_data: bool = False) -> None:
    """Refuses a folder that holds another run, naming every setting that makes it another: `identity_differences`.

    A folder in which nothing was saved yet holds no run: a recipe that failed at its start can be corrected. force_data: settings that
    decide which samples are seen may be others.
    """
    if _holds_a_run(workdir):
        step = saved_steps(workdir)[-1]
        _refuse(workdir, recipe, identity_differences(read_run(workdir)["identity"], recipe, step=step), force_data=force_data)


def check_order(workdir: Path, recipe: Recipe, *, samples: int, force_data: bool = False) -> None:
    """As `check_identity`, for the settings of the order by what they come to for so many samples: `order_differences`."""
    if _holds_a_run(workdir):
        _refuse(workdir, recipe, order_differences(read_run(workdir)["identity"], recipe, samples=samples), force_data=force_data)


def log_differences(workdir: Path, recipe: Recipe, *, samples: int) -> None:
    """Says what differs from the run in the folder, once all of it is accepted: what only `--force-data` lets pass, then the rest."""
    saved, now, step = read_run(workdir), describe(recipe), saved_steps(workdir)[-1]
    identity = saved["identity"]
    for forced in (*identity_differences(identity, recipe, step=step), *order_differences(identity, recipe, samples=samples)):
        LOG.warning("--force-data: going on with %s = %s (was %s)", forced.path, forced.new, forced.old)
    for part in ("recipe", "versions"):
        for path, old, new in differences(saved[part], now[part]):
            LOG.info("resuming with %s = %s (was %s)", path, new, old)


def _holds_a_run(workdir: Path) -> bool:
    return (workdir / "recipe.json").exists() and bool(saved_steps(workdir))


def _refuse(workdir: Path, recipe: Recipe, found: Iterable[Difference], *, force_data: bool) -> None:
    refused = [each for each in found if not (force_data and each.of_data)]
    if refused:
        raise UserError(f"--workdir = {workdir} holds a run {in_words(refused, recipe, step=saved_steps(workdir)[-1])}")
