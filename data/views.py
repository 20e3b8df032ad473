"""Two views of an image, each augmented on its own: what a self-supervised term compares."""

from __future__ import annotations

import dataclasses

import numpy as np

from .picture import Picture
from .spec import DataSpec, ViewsSpec
from .transforms import augmented, check_evaluable, crops, needed_side, prepare

COUNT = 2
NAME = "image_views"  # in a batch, uint8[b, 2, S, S, 3]


def views_of(image: Picture, spec: DataSpec, random: np.random.Generator, *, views: ViewsSpec, size: int) -> np.ndarray:
    """uint8[2, S, S, 3] with S = `size`, of an image that went through `prepare_both`."""
    at = dataclasses.replace(spec, image_size=size, augment=views, size_schedule=None)
    return np.stack([np.asarray(augmented(image, at, random)) for _ in range(COUNT)])


def prepare_both(image: Picture, spec: DataSpec, views: ViewsSpec | None) -> Picture:
    """The part of the training transform that is the same each time, of the image and of its views: both may still crop it.

    views: None where there are none. What else is the same each time of the image alone is left to `image_after`. Raises BadSample as
    `prepare` does.
    """
    if views is None:
        return prepare(image, spec)
    image = prepare(image, dataclasses.replace(spec, augment=views))
    if not crops(spec.augment):
        check_evaluable(image, spec)
    return image


def image_after(image: Picture, spec: DataSpec, views: ViewsSpec | None) -> Picture:
    """What `prepare` would have made of the image, of one that went through `prepare_both`."""
    return image if views is None else prepare(image, dataclasses.replace(spec, resize_first=None))


def side_needed(spec: DataSpec, views: ViewsSpec | None) -> int:
    """`needed_side` of the image and of its views."""
    return needed_side(spec) if views is None else max(needed_side(spec), needed_side(dataclasses.replace(spec, augment=views)))
