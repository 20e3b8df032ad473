"""What must hold of a recipe whose frozen image tower is run once per sample, and never again."""

from __future__ import annotations

import dataclasses

from ..data.spec import AugmentSpec
from ..data.transforms import is_random
from ..errors import UserError
from .spec import Recipe

PLAIN = AugmentSpec()
WHY = "so that no embedding can be kept for it"


def check_embeddings(recipe: Recipe) -> None:
    """Raises UserError where `data.embeddings` is given, and `check_embeddable` finds that it cannot stand for the images."""
    if recipe.data.embeddings is not None:
        check_embeddable(recipe)


def check_embeddable(recipe: Recipe) -> None:
    """Raises UserError where what the tower reads of a sample changes from step to step, or where its weights are fresh."""
    for field in dataclasses.fields(PLAIN):
        value = getattr(recipe.data.augment, field.name)
        if is_random(dataclasses.replace(PLAIN, **{field.name: value})):
            raise UserError(
                f"data.augment.{field.name} = {value} makes another image of a sample each time, {WHY}; accepted is {field.default}"
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
