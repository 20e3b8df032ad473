"""Images on their way to the model, with the numbers of torchvision on Pillow images, as open_clip uses them."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from .bad import BadSample
from .decode import MAX_PIXELS
from .spec import AugmentSpec, DataSpec

BICUBIC = Image.Resampling.BICUBIC
TRIES = 10


def evaluation(image: Image.Image, *, size: int, resize: str) -> Image.Image:
    """`size` x `size` pixels. `shortest`: the shorter side becomes `size`, the longer int(size * long / short), the centre is kept.
    `squash`: both sides become `size`. Bicubic, antialiased. Raises BadSample for images so long that this would not fit in memory."""
    if resize == "squash":
        return image.resize((size, size), BICUBIC)
    width, height = image.size
    short = min(width, height)
    width, height = (size if side == short else int(size * side / short) for side in (width, height))
    if width * height > MAX_PIXELS:
        raise BadSample(f"image of {image.width} x {image.height} pixels is too elongated")
    resized = image.resize((width, height), BICUBIC)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return resized.crop((left, top, left + size, top + size))


def prepare(image: Image.Image, spec: DataSpec) -> Image.Image:
    """The part of the training transform that is the same each time: what may be cached."""
    if spec.augment.crop_scale == (1.0, 1.0):
        size = spec.resize_first or spec.image_size
        image = evaluation(image, size=size, resize=spec.resize)
        return image if size == spec.image_size else evaluation(image, size=spec.image_size, resize=spec.resize)
    return evaluation(image, size=spec.resize_first, resize=spec.resize) if spec.resize_first else image


def is_random(augment: AugmentSpec) -> bool:
    """Whether `augmented` needs random numbers."""
    return augment.crop_scale != (1.0, 1.0) or augment.flip > 0


def augmented(image: Image.Image, spec: DataSpec, random: np.random.Generator) -> Image.Image:
    """The random part of the training transform, of an image that went through `prepare`: crop, resize, flip."""
    augment = spec.augment
    if augment.crop_scale != (1.0, 1.0):
        box = random_box(image.size, augment, random)
        # crop() first: `box=` would let the filter read pixels outside the crop
        image = image.crop(box).resize((spec.image_size, spec.image_size), BICUBIC)
    if augment.flip and random.random() < augment.flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image


def random_box(size: tuple[int, int], augment: AugmentSpec, random: np.random.Generator) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of a random-resized crop by torchvision's rules (Szegedy et al., 2015, section 6):

    area and log of the aspect ratio are uniform; ten tries to fit, then the largest central crop within the ratios.
    On a square image with ratio (1, 1): a square of side round(side * sqrt(u)).
    """
    width, height = size
    (small, large), (low, high) = augment.crop_scale, augment.crop_ratio
    for _ in range(TRIES):
        a, b, c, d = random.random(4).tolist()
        area = width * height * (small + (large - small) * a)
        ratio = math.exp(math.log(low) + (math.log(high) - math.log(low)) * b)
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(c * (width - w + 1)), int(d * (height - h + 1))
            return left, top, left + w, top + h
    w = min(width, max(1, round(height * high)))
    h = min(height, max(1, round(width / low)))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h
