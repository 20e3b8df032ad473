"""What must hold of the schedules that shorten images and captions for a part of training."""

from __future__ import annotations

from ..errors import UserError
from ..nearest import unknown_value
from .spec import Recipe

REDUCTIONS = ("truncate", "random", "block")
SHORTEST = 3  # tokens: a start, a word, an end


def check_schedules(recipe: Recipe) -> None:
    """Raises UserError for a caption that is too short or too long, an unknown reduction, or an end that means nothing."""
    images, texts, context = recipe.data.size_schedule, recipe.data.text_schedule, recipe.model.text.context_length
    if images is not None and images.until is not None:
        if images.until < 1:
            raise UserError(f"data.size_schedule.until = {images.until} is out of range; accepted is a step from 1, or none")
        if images.seq_lens:
            raise UserError(
                f"data.size_schedule.until = {images.until} does not go with data.size_schedule.seq_lens, which have no full size; "
                "accepted is none, or data.size_schedule.sizes"
            )
    for setting, schedule in (("size_schedule", images), ("text_schedule", texts)):
        if schedule is not None and (schedule.until or 0) > recipe.train.steps:
            raise UserError(
                f"data.{setting}.until = {schedule.until} is never reached in train.steps = {recipe.train.steps}; "
                f"accepted is at most {recipe.train.steps}, or none for all of training"
            )
    if texts is None:
        return
    if not SHORTEST <= texts.length <= context:
        raise UserError(
            f"data.text_schedule.length = {texts.length} is out of range; accepted is {SHORTEST} to model.text.context_length = {context}"
        )
    if texts.reduction not in REDUCTIONS:
        raise unknown_value("data.text_schedule.reduction", texts.reduction, REDUCTIONS)
    if texts.reduction != "truncate" and recipe.objective.terms.get("unicl"):
        raise UserError(
            f"data.text_schedule.reduction = {texts.reduction!r} cuts equal captions differently, to objective.terms.unicl negatives; "
            "accepted is truncate"
        )
