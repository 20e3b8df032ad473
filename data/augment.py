"""Random crops and colours, by the rules and with the numbers of torchvision on Pillow images."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from .spec import AugmentSpec

TRIES = 10


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


def colour_jitter(image: Image.Image, random: np.random.Generator, *, strengths: tuple[float, float, float, float]) -> Image.Image:
    """Brightness, contrast, saturation and hue changed in random order, each by a factor of its own.

    strengths: s of a factor uniform in [max(0, 1 - s), 1 + s]; of hue, of a turn uniform in [-s, s], at most 0.5. 0: left as it is.
    """
    brightness, contrast, saturation = (random.uniform(max(0.0, 1 - strength), 1 + strength) for strength in strengths[:3])
    turn = random.uniform(-strengths[3], strengths[3])
    changes: tuple[Callable[[Image.Image], Image.Image], ...] = (
        lambda image: ImageEnhance.Brightness(image).enhance(brightness),
        lambda image: ImageEnhance.Contrast(image).enhance(contrast),
        lambda image: ImageEnhance.Color(image).enhance(saturation),
        lambda image: turn_hue(image, turn),
    )
    for number in random.permutation(4).tolist():
        if strengths[number]:
            image = changes[number](image)
    return image


def turn_hue(image: Image.Image, turn: float) -> Image.Image:
    """The hue turned by `turn` of a full circle, -0.5 .. 0.5, in Pillow's HSV of 8 bits; steps of 1/255."""
    hue, saturation, value = image.convert("HSV").split()
    turned = np.asarray(hue) + np.int32(turn * 255).astype(np.uint8)  # wraps around
    return Image.merge("HSV", (Image.fromarray(turned), saturation, value)).convert("RGB")


def to_grey(image: Image.Image) -> Image.Image:
    """Luma (ITU-R BT.601) in all three channels."""
    return image.convert("L").convert("RGB")


def blurred(image: Image.Image, random: np.random.Generator, *, sigma: tuple[float, float]) -> Image.Image:
    """A Gaussian blur of a standard deviation uniform in `sigma`, pixels; Pillow's, three box blurs, as SimCLR's descendants take it."""
    return image.filter(ImageFilter.GaussianBlur(random.uniform(*sigma)))
