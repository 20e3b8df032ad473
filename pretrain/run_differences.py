"""How a recipe differs from the run that a folder holds, by the names of the settings that do it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..data.orders import kind_of_order
from ..schema import ABSENT, differences
from .check_optimizer import DECAYING
from .recipe import run_identity
from .spec import Recipe

ORDER = ("order", "streams", "block_shards")  # of data
OF_DATA = ("seed", "model.text.context_length")  # beside all of data
COOLDOWN = ("optimizer.decay_steps", "optimizer.cooldown_steps", "optimizer.final_fraction")


@dataclasses.dataclass(frozen=True)
class Difference:
    """A setting whose value is `old` in the run and `new` in the recipe; either may be `absent`."""

    path: str
    old: Any
    new: Any

    @property
    def of_data(self) -> bool:
        """Whether it decides which samples are seen, and nothing else: `--force-data` goes on with it."""
        return self.path.startswith("data.") or self.path in OF_DATA


def identity_differences(saved: Mapping[str, Any], recipe: Recipe, *, step: int) -> Iterator[Difference]:
    """The settings in which a recipe is another run than the one of the identity `saved`, which has come to `step`.

    A cool-down that has begun neither in the saved run nor in this one may be another: it can start from any checkpoint of a long run. The
    settings of the order are left to `order_differences`. The end of the schedule is compared as the run's own schedule would have it:
    where the recipe has another, that alone is named.
    """
    now = run_identity(recipe)
    elsewhere = {f"data.{name}" for name in ORDER}
    if not any(_in_cooldown(values, step) for values in (saved, now)):
        elsewhere.update(COOLDOWN)
    theirs = {name: saved["optimizer"].get(name, getattr(recipe.optimizer, name)) for name in ("schedule", "cooldown_steps")}
    scheduled = run_identity(dataclasses.replace(recipe, optimizer=dataclasses.replace(recipe.optimizer, **theirs)))
    now["optimizer"]["decay_steps"] = scheduled["optimizer"]["decay_steps"]
    return (Difference(path, old, new) for path, old, new in differences(saved, now) if path not in elsewhere)


def order_differences(saved: Mapping[str, Any], recipe: Recipe, *, samples: int) -> list[Difference]:
    """As `identity_differences`, for the settings of the order by what they come to for so many samples: an exact order has no streams."""
    then = dataclasses.replace(recipe.data, **{name: saved["data"][name] for name in ORDER if name in saved["data"]})
    old, new = (kind_of_order(data, samples=samples) for data in (then, recipe.data))
    if old != new or new == "exact":
        return [Difference("data.order", old, new)] if old != new else []
    settings = [(f"data.{name}", getattr(then, name), getattr(recipe.data, name)) for name in ("streams", "block_shards")]
    return [Difference(*setting) for setting in settings if setting[1] != setting[2]]


def in_words(found: Sequence[Difference], recipe: Recipe, *, step: int) -> str:
    """What a run that has come to `step` has instead of the recipe's values, and what is accepted of each."""
    has = [f"with {_has(each, recipe)}" for each in found]
    choices = [_accepted(each, recipe, step=step) for each in found]
    if recipe.train.steps < step and not any(_is_end(each, recipe) for each in found):
        has.append(f"with a checkpoint at step {step}, which train.steps = {recipe.train.steps} is behind")
        choices.append([f"train.steps from {step}"])
    if len(choices) == 1:
        return f"{has[0]}; accepted is {', '.join(choices[0])}, or another folder"
    each = [first + "".join(f" (or {other})" for other in others) for first, *others in choices]
    return f"{', '.join(has[:-1])}, and {has[-1]}; accepted is {', '.join(each[:-1])} and {each[-1]}, or another folder"


def _is_end(difference: Difference, recipe: Recipe) -> bool:
    """Whether it is `train.steps` that moves the end of the schedule."""
    derived = difference.path == "optimizer.decay_steps" and recipe.optimizer.decay_steps is None
    return derived and None not in (difference.old, difference.new)


def _has(difference: Difference, recipe: Recipe) -> str:
    if _is_end(difference, recipe):
        return f"train.steps = {difference.old}, where its optimizer.schedule ends, not {difference.new}"
    return f"{difference.path} = {difference.old}, not {difference.new}"


def _accepted(difference: Difference, recipe: Recipe, *, step: int) -> list[str]:
    """What the recipe may have instead, the run's own value first."""
    path, old, steps = difference.path, difference.old, recipe.train.steps
    if not _is_end(difference, recipe):
        own = f"{path} left out" if old == ABSENT else f"{path} = {old}"
        return [own, "--force-data"] if difference.of_data else [own]
    if steps < step:  # the run is past it, whatever its schedule
        return [f"train.steps = {old}"]
    last = recipe.optimizer.peak_lr * recipe.optimizer.final_fraction
    then = f"trains on at a learning rate of {last:g}" if steps > old else "stops earlier on the same schedule"
    return [f"train.steps = {old}", f"optimizer.decay_steps = {old} beside train.steps = {steps}, which {then}"]


def _in_cooldown(values: Mapping[str, Any], step: int) -> bool:
    """Whether a run of this `run_identity` has begun, after `step` steps, to go down to the end of its schedule."""
    optimizer = values["optimizer"]
    if optimizer["schedule"] in DECAYING:
        return True
    return optimizer["decay_steps"] is not None and step > optimizer["decay_steps"] - optimizer["cooldown_steps"]
