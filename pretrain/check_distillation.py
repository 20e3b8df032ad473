"""What must hold of the settings of the terms that learn from a teacher, judged without its folder."""

from __future__ import annotations

from ..errors import UserError
from .spec import Recipe

LOGITS = "distillation_logits"
TERMS = ("distillation_embedding", LOGITS, "distillation_similarity")


def distils(recipe: Recipe) -> bool:
    """Whether a term of the recipe learns from a teacher."""
    return any(recipe.objective.terms.get(name) for name in TERMS)


def check_distillation(recipe: Recipe) -> None:
    """Raises UserError where a term learns from a teacher that nothing names."""
    if distils(recipe) and not recipe.objective.distillation.teacher:
        term = next(name for name in TERMS if recipe.objective.terms.get(name))
        raise UserError(
            f"objective.terms.{term} needs objective.distillation.teacher, which is none; accepted is a folder that `diptych export` wrote"
        )
