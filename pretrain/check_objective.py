"""What must hold of the terms of a recipe's objective, of their scale, and of nested widths."""

from __future__ import annotations

import itertools

from ..errors import UserError
from ..nearest import meant
from .check_captioning import check_captioning
from .check_mixing import check_mixing
from .spec import Recipe

TERMS = (
    *("captioning", "cyclip", "distillation_embedding", "distillation_logits", "distillation_similarity"),
    *("m2mix", "mochi", "self_supervised", "sigmoid", "softmax", "unicl"),
)


def check_objective(recipe: Recipe) -> None:
    """Terms are known, weigh something, and the model has what they need."""
    objective = recipe.objective
    for name, weight in objective.terms.items():
        if name not in TERMS:
            raise UserError(f"objective.terms.{name} is not a term; accepted are {', '.join(TERMS)}{meant(name, TERMS)}")
        if not 0 <= weight < float("inf"):
            raise UserError(f"objective.terms.{name} = {weight} is out of range; accepted is a number from 0")
    if not any(objective.terms.values()):
        raise UserError(f"objective.terms = {dict(objective.terms)} has no weight above 0; accepted is at least one of {', '.join(TERMS)}")
    if objective.scale == "learnt" and objective.max_scale is not None and objective.init_scale > objective.max_scale:
        raise UserError(
            f"objective.init_scale = {objective.init_scale} is above objective.max_scale = {objective.max_scale}; accepted is at most that"
        )
    _check_matryoshka(recipe)
    check_mixing(recipe)
    check_captioning(recipe)


def _check_matryoshka(recipe: Recipe) -> None:
    """Nested widths rise and are below the whole; weights are as many."""
    nested, embed_dim = recipe.objective.matryoshka, recipe.model.embed_dim
    widths, weights = len(nested.widths), len(nested.weights)
    if not all(narrower < wider for narrower, wider in itertools.pairwise(nested.widths)):
        raise UserError(f"objective.matryoshka.widths = {nested.widths} does not rise; accepted are rising numbers below {embed_dim}")
    if nested.widths and nested.widths[-1] >= embed_dim:
        raise UserError(
            f"objective.matryoshka.widths = {nested.widths} is not below model.embed_dim = {embed_dim}, which is trained anyway; "
            f"accepted are rising numbers below {embed_dim}"
        )
    if weights and not widths:
        raise UserError(
            f"objective.matryoshka.weights = {nested.weights} are of objective.matryoshka.widths, which is empty; accepted is an empty list"
        )
    if weights not in (0, widths):
        raise UserError(
            f"objective.matryoshka.weights = {nested.weights} has {weights} for the {widths} of objective.matryoshka.widths = "
            f"{nested.widths}; accepted is one for each, or an empty list, by which each weighs 1"
        )
