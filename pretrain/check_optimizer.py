"""What must hold between the settings of the optimizer and of its schedule."""

from __future__ import annotations

import re

from ..errors import UserError
from .spec_optimizer import OptimizerSpec

DECAYING = ("cosine", "linear")  # these end by themselves
DTYPES = ("float32", "bfloat16")


def check_optimizer(optimizer: OptimizerSpec, *, steps: int) -> None:
    """Raises UserError for the first setting of `optimizer` that cannot be trained with; its names and numbers are judged elsewhere.

    steps: `train.steps`.
    """
    _check_schedule(optimizer)
    _check_timescale(optimizer)
    _check_end(optimizer, steps=steps)
    _check_averages(optimizer)
    if optimizer.moment_dtype is not None and optimizer.moment_dtype not in DTYPES:
        raise UserError(f"optimizer.moment_dtype = {optimizer.moment_dtype!r} is unknown; accepted is {' or '.join(DTYPES)}, or none")
    if optimizer.name == "muon" and not optimizer.muon.hidden:
        raise UserError(
            "optimizer.muon.hidden = () does not go with optimizer.name = muon; accepted are patterns of names of hidden matrices, "
            "or optimizer.name = adamw"
        )
    for setting, patterns in (
        ("no_decay", optimizer.no_decay),
        ("freeze", optimizer.freeze),
        ("muon.hidden", optimizer.muon.hidden),
        ("lr_multipliers", tuple(pattern for pattern, _ in optimizer.lr_multipliers)),
        ("decay_multipliers", tuple(pattern for pattern, _ in optimizer.decay_multipliers)),
    ):
        check_patterns(f"optimizer.{setting}", patterns)


def _check_schedule(optimizer: OptimizerSpec) -> None:
    cooldown, decaying = optimizer.cooldown_steps, optimizer.schedule in DECAYING
    if decaying and cooldown:
        raise UserError(
            f"optimizer.cooldown_steps = {cooldown} does not go with optimizer.schedule = {optimizer.schedule}, which ends by itself; "
            f"accepted is 0"
        )
    if optimizer.final_fraction and not decaying and not cooldown:
        raise UserError(
            f"optimizer.final_fraction = {optimizer.final_fraction} does not go with optimizer.schedule = {optimizer.schedule} "
            f"without optimizer.cooldown_steps; accepted is 0"
        )


def _check_timescale(optimizer: OptimizerSpec) -> None:
    timescale = optimizer.timescale_steps
    if timescale is not None and optimizer.schedule != "rsqrt":
        raise UserError(
            f"optimizer.timescale_steps = {timescale} does not go with optimizer.schedule = {optimizer.schedule}; accepted is none"
        )
    if timescale is None and optimizer.schedule == "rsqrt" and not optimizer.warmup_steps:
        raise UserError(
            "optimizer.timescale_steps = None does not go with optimizer.schedule = rsqrt and optimizer.warmup_steps = 0; "
            "accepted is an integer from 1 on"
        )


def _check_end(optimizer: OptimizerSpec, *, steps: int) -> None:
    warmup, end, cooldown = optimizer.warmup_steps, optimizer.decay_steps, optimizer.cooldown_steps
    setting, last = ("train.steps", steps) if end is None else ("optimizer.decay_steps", end)
    if end is not None and not cooldown and optimizer.schedule not in DECAYING:
        raise UserError(
            f"optimizer.decay_steps = {end} does not go with optimizer.schedule = {optimizer.schedule} without optimizer.cooldown_steps; "
            f"accepted is none"
        )
    # A trial run may end within the warm-up of its recipe; a cool-down would begin in it, and a stated end is meant.
    if (cooldown or end is not None) and warmup + cooldown > last:
        said = f"optimizer.warmup_steps = {warmup}" + (f" with optimizer.cooldown_steps = {cooldown}" if cooldown else "")
        shorter = f"warmup_steps up to {last - cooldown}" if cooldown <= last else f"cooldown_steps up to {last}"
        raise UserError(f"{said} is more than {setting} = {last}; accepted is optimizer.{shorter}, or a larger {setting}")


def _check_averages(optimizer: OptimizerSpec) -> None:
    if not all(0 <= beta < 1 for beta in optimizer.betas):
        raise UserError(f"optimizer.betas = {optimizer.betas} is out of range; accepted are two numbers from 0 to below 1")
    for setting, value in (
        ("adafactor.beta2_cap", optimizer.adafactor.beta2_cap),
        ("adafactor.momentum", optimizer.adafactor.momentum),
        ("muon.momentum", optimizer.muon.momentum),
    ):
        if not 0 <= value < 1:
            raise UserError(f"optimizer.{setting} = {value} is out of range; accepted is a number from 0 to below 1")


def check_patterns(setting: str, patterns: tuple[str, ...]) -> None:
    """Raises UserError for the first of the patterns of `setting` that is no regular expression."""
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UserError(f"{setting} has {pattern!r} ({error}); accepted are regular expressions") from None
