"""Settings that are of certain terms of the objective, or of one optimizer, where the recipe has none of these: nobody would know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from ..schema import differences, to_dict
from .check_distillation import TERMS as TAUGHT
from .spec import Recipe

NESTED = ("m2mix", "mochi", "sigmoid", "softmax", "unicl")
SCALED = ("distillation_logits", *NESTED)
FORMED = ("distillation_similarity", "self_supervised", *SCALED)

# Setting or group of settings -> the terms that read it. `init_scale` and `max_scale` are not here: recipes give them to whatever term is
# chosen in place of theirs, as they do `betas` and `eps` to the optimizer.
READERS = {
    "model.decoder": ("captioning",),
    "objective.scale": SCALED,
    "objective.init_bias": ("sigmoid",),
    "objective.label_smoothing": ("softmax", "unicl"),
    "objective.form": FORMED,
    "objective.chunk": FORMED,
    "objective.matryoshka": NESTED,
    "objective.cyclip": ("cyclip",),
    "objective.mochi": ("mochi",),
    "objective.m2mix": ("m2mix",),
    "objective.captioning": ("captioning",),
    "objective.self_supervised": ("self_supervised",),
    "objective.distillation.teacher": TAUGHT,
    "objective.distillation.teacher_dim": TAUGHT,
    "objective.distillation.distance": ("distillation_embedding",),
    "objective.distillation.temperature": ("distillation_similarity",),
    "data.views": ("self_supervised",),
}
OPTIMIZERS = {"optimizer.adafactor": ("adafactor",), "optimizer.muon": ("muon",)}  # likewise, of `optimizer.name`


def check_unused(recipe: Recipe) -> None:
    """Raises UserError for the first setting that is not its default, and that no term with a weight above 0, or no optimizer, reads."""
    weighing, optimizer = [name for name, weight in recipe.objective.terms.items() if weight], recipe.optimizer.name
    for setting, default, value in differences(to_dict(Recipe()), to_dict(recipe)):
        terms, optimizers = _readers(setting, READERS), _readers(setting, OPTIMIZERS)
        if terms and not set(terms) & set(weighing):
            raise UserError(
                f"{setting} = {_said(value)} is read by none of objective.terms = {', '.join(weighing)}; "
                f"accepted is {_said(default)}, or with a weight above 0 {' or '.join(terms)}"
            )
        if optimizers and optimizer not in optimizers:
            raise UserError(
                f"{setting} = {_said(value)} is not read by optimizer.name = {optimizer}; "
                f"accepted is {_said(default)}, or optimizer.name = {' or '.join(optimizers)}"
            )


def _readers(setting: str, table: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Of the setting, or of the group that it is in; empty: anything may read it."""
    return next((readers for path, readers in table.items() if f"{setting}.".startswith(f"{path}.")), ())


def _said(value: Any) -> str:
    """A value of a recipe in words."""
    if isinstance(value, Mapping):
        return f"({', '.join(f'{name} = {_said(setting)}' for name, setting in value.items())})"
    if isinstance(value, list):
        return str(tuple(value)) if value else "an empty list"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
