"""Whether an objective compares two views of each image, and by what they are made."""

from __future__ import annotations

from ..data.spec import ViewsSpec
from .spec import Recipe

TERM = "self_supervised"


def wanted_views(recipe: Recipe) -> ViewsSpec | None:
    """`data.views` where a term of the recipe reads the views of an image; None where none need be made."""
    return recipe.data.views if recipe.objective.terms.get(TERM) else None
