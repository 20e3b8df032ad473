"""What must hold of the labels of the samples, and of the term that reads them."""

from __future__ import annotations

from ..errors import UserError
from .spec import Recipe

TERM = "unicl"


def check_labels(recipe: Recipe) -> None:
    """Raises UserError for labels that no term reads."""
    key, terms = recipe.data.label_key, recipe.objective.terms
    if key is not None and not terms.get(TERM):
        raise UserError(
            f"data.label_key = {key!r} is read by objective.terms.{TERM} alone, which has no weight; accepted is none, or the term"
        )
