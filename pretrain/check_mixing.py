"""What the terms that mix or compare embeddings need: something to compare, and as many negatives as they mix."""

from __future__ import annotations

from ..errors import UserError
from .spec import Recipe


def check_mixing(recipe: Recipe) -> None:
    """Raises UserError for settings of `cyclip` or `mochi` with which the term would do nothing, or has too few samples."""
    objective, mochi = recipe.objective, recipe.objective.mochi
    others = recipe.train.batch_size - 1
    if objective.terms.get("cyclip") and not (objective.cyclip.cross_modal or objective.cyclip.in_modal):
        raise UserError("objective.cyclip has cross_modal = 0 and in_modal = 0; accepted is one of them above 0")
    if not objective.terms.get("mochi"):
        return
    if not (mochi.mixed or mochi.with_query):
        raise UserError("objective.mochi has mixed = 0 and with_query = 0; accepted is one of them above 0")
    if mochi.hardest > others:
        raise UserError(
            f"objective.mochi.hardest = {mochi.hardest} is more than the other samples of train.batch_size = {recipe.train.batch_size}; "
            f"accepted is at most {others}"
        )
