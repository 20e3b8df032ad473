"""What must hold of the two views of an image that a self-supervised term compares."""

from __future__ import annotations

from ..data.transforms import crops
from ..errors import UserError
from .spec import Recipe
from .views import TERM, wanted_views


def check_views(recipe: Recipe) -> None:
    """Raises UserError for the first setting with which no two views can be made, or not two that differ."""
    objective, views, schedule = recipe.objective, wanted_views(recipe), recipe.data.size_schedule
    if not objective.self_supervised.projector:
        raise UserError("objective.self_supervised.projector is empty; accepted are one or more widths, such as (4096, 4096, 256)")
    if views is None:
        return
    if not crops(views):
        raise UserError(
            f"data.views.crop_scale = {views.crop_scale} shows all of the image in both views of objective.terms.{TERM}; "
            "accepted are two rising numbers below 1, the last up to 1"
        )
    if schedule is not None and schedule.seq_lens:
        raise UserError(
            f"data.size_schedule.seq_lens = {schedule.seq_lens} does not go with objective.terms.{TERM}, whose views are square; "
            "accepted is data.size_schedule.sizes"
        )
