"""What shapes the batches of a run have: schedules change the size of images and the length of captions from step to step."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Mapping

from ..data.image_sizes import size_at
from .spec import Recipe


@dataclasses.dataclass(frozen=True)
class StepShape:
    """size: one of those of `data.size_schedule`; None: images have `data.image_size`.

    text_length: tokens a caption, `data.text_schedule.length`; None: `model.text.context_length`.
    """

    size: int | None = None
    text_length: int | None = None


def shape_at(recipe: Recipe, step: int) -> StepShape:
    """Of step `step` of the run, from 0."""
    images, texts, full = recipe.data.size_schedule, recipe.data.text_schedule, recipe.data.image_size
    return StepShape(
        size=size_at(images, seed=recipe.seed, step=step, full=full) if images and _holds(images.until, step) else None,
        text_length=texts.length if texts and _holds(texts.until, step) else None,
    )


def shapes_of_run(recipe: Recipe) -> Mapping[StepShape, float]:
    """Every shape, and the share of the run's steps that have it; those of one schedule are drawn evenly."""
    images, texts, steps = recipe.data.size_schedule, recipe.data.text_schedule, recipe.train.steps
    ends = {schedule.until for schedule in (images, texts) if schedule and schedule.until and schedule.until < steps}
    shares = Counter[StepShape]()
    for first, last in itertools.pairwise(sorted({0, *ends, steps})):
        sizes = (images.sizes or images.seq_lens) if images and _holds(images.until, first) else (None,)
        length = texts.length if texts and _holds(texts.until, first) else None
        shares.update({StepShape(size, length): (last - first) / steps / len(sizes) for size in sizes})
    return shares


def _holds(until: int | None, step: int) -> bool:
    return until is None or step < until
