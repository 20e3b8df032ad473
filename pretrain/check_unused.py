"""Settings that are of certain terms of the objective, where the recipe has none of these: they would do nothing, and nobody would know."""

from __future__ import annotations

from ..errors import UserError
from .check_distillation import TERMS as TAUGHT
from .spec import Recipe

SMOOTHED = ("softmax", "unicl")
NESTED = ("m2mix", "mochi", "sigmoid", "softmax", "unicl")


def check_unused(recipe: Recipe) -> None:
    """Raises UserError for the first setting that no term with a weight above 0 reads."""
    objective, decoder = recipe.objective, recipe.model.decoder
    weighing = [name for name, weight in objective.terms.items() if weight]
    for setting, given, off, readers in (
        ("objective.label_smoothing", objective.label_smoothing, "0", SMOOTHED),
        ("objective.matryoshka.widths", objective.matryoshka.widths, "an empty list", NESTED),
        ("objective.distillation.teacher", objective.distillation.teacher, "none", TAUGHT),
        ("model.decoder", "" if decoder is None else f"{decoder.depth} layers", "none", ("captioning",)),
    ):
        if given and not set(readers) & set(weighing):
            raise UserError(
                f"{setting} = {given} is read by none of objective.terms = {', '.join(weighing)}; "
                f"accepted is {off}, or with a weight above 0 {' or '.join(readers)}"
            )
