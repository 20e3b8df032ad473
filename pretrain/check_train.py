"""The settings of the step: averages of the parameters, steps that are left out, and what a run starts from."""

from __future__ import annotations

from ..errors import UserError
from .check_optimizer import check_patterns
from .spec import InitSpec, Recipe


def check_train(recipe: Recipe) -> None:
    """Raises UserError for the first of them that means nothing."""
    decay, skip, params = recipe.train.ema_decay, recipe.train.skip, recipe.eval.params
    if decay is not None and not 0 < decay < 1:
        raise UserError(f"train.ema_decay = {decay} is out of range; accepted is a number between 0 and 1, or none")
    if skip.outlier is not None and skip.outlier <= 0:
        raise UserError(f"train.skip.outlier = {skip.outlier} is out of range; accepted is a number above 0, or none")
    if skip.window < 2:
        raise UserError(f"train.skip.window = {skip.window} has no deviation; accepted is a number of steps from 2")
    if params not in (None, "ema", "raw"):
        raise UserError(f"eval.params = {params!r} is unknown; accepted is ema or raw")
    if params == "ema" and decay is None:
        raise UserError("eval.params = 'ema' needs train.ema_decay, which is none; accepted is raw, or a train.ema_decay such as 0.9999")
    _check_init(recipe.train.init)


def _check_init(init: InitSpec) -> None:
    check_patterns("train.init.parameters", init.parameters)
    if init.path is None and init.parameters != InitSpec().parameters:
        raise UserError(
            f"train.init.parameters = {init.parameters} are of train.init.path, which is none; "
            "accepted is a folder that `diptych export` wrote"
        )
