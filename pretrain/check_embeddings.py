"""What must hold of a recipe whose frozen image tower is run once per sample, and never again."""

from __future__ import annotations

from ..data.transforms import is_random
from ..errors import UserError
from .spec import Recipe

WHY = "so that no embedding can be kept for it"


def check_embeddings(recipe: Recipe) -> None:
    """Raises UserError where `data.embeddings` is given, and `check_embeddable` finds that it cannot stand for the images."""
    if recipe.data.embeddings is not None:
        check_embeddable(recipe)


def check_embeddable(recipe: Recipe) -> None:
    """Raises UserError where what the tower reads of a sample changes from step to step, or where its weights are fresh."""
    if is_random(recipe.data.augment):
        raise UserError(
            f"data.augment = {recipe.data.augment} makes another image of a sample each time, {WHY}; accepted is data.augment with "
            "crop_scale = (1, 1) and flip, colour_jitter, grey and blur of 0, without randaugment"
        )
    if recipe.data.size_schedule is not None:
        raise UserError(f"data.size_schedule makes images of several sizes, {WHY}; accepted is none")
    if dropout := recipe.model.image.patch_dropout:
        raise UserError(f"model.image.patch_dropout = {dropout} leaves out other patches each time, {WHY}; accepted is 0")
    if recipe.train.init.path is None:
        raise UserError(
            "train.init.path = none leaves the image tower without trained weights, whose embeddings data.embeddings would hold; "
            "accepted is a folder that `diptych export` wrote"
        )
