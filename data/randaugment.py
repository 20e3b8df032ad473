"""RandAugment (Cubuk et al., 2020, section 3), with the operations, ranges and numbers of torchvision on Pillow images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

BINS = 31
STEPS = BINS - 1  # magnitudes go from 0 to 30
SIGNED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness")
SHIFT = 150 / 331  # of the side, at most: what AutoAugment took on images of 331 pixels


def rand_augment(image: Image.Image, random: np.random.Generator, *, operations: int, magnitude: int) -> Image.Image:
    """`operations` operations one after the other, each drawn evenly from the 14, at `magnitude` of 0 .. 30, with a random sign."""
    names = list(OPERATIONS)
    for _ in range(operations):
        name = names[random.integers(len(names))]
        sign = -1 if name in SIGNED and random.random() < 0.5 else 1
        image = apply(image, name, sign * strength(name, magnitude, image.size))
    return image


def strength(name: str, magnitude: int, size: tuple[int, int]) -> float:
    """What an operation's argument is at `magnitude`, for an image of `size` (width, height); in float32, as torchvision draws it."""
    first, last = {
        "ShearX": (0.0, 0.3),
        "ShearY": (0.0, 0.3),
        "TranslateX": (0.0, SHIFT * size[0]),
        "TranslateY": (0.0, SHIFT * size[1]),
        "Rotate": (0.0, 30.0),
        "Brightness": (0.0, 0.9),
        "Color": (0.0, 0.9),
        "Contrast": (0.0, 0.9),
        "Sharpness": (0.0, 0.9),
        "Posterize": (8.0, 4.0),
        "Solarize": (255.0, 0.0),
    }.get(name, (0.0, 0.0))
    if name == "Posterize":
        return 8 - round(magnitude / (STEPS / 4))
    step = float((np.float32(last) - np.float32(first)) / np.float32(STEPS))
    # torch.linspace counts from the nearer end, by fused multiply-adds: rounded to float32 once
    return float(np.float32(float(np.float32(last)) - step * (STEPS - magnitude) if magnitude >= BINS // 2 else first + step * magnitude))


def apply(image: Image.Image, name: str, argument: float) -> Image.Image:
    """One operation, with the argument that `strength` gives (negative: the other way)."""
    return OPERATIONS[name](image, argument)


def _affine(image: Image.Image, matrix: tuple[float, float, float, float, float, float]) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)


def _slope(argument: float) -> float:
    return math.tan(math.radians(math.degrees(math.atan(argument))))  # torchvision's detour, for its last bit


OPERATIONS: Mapping[str, Callable[[Image.Image, float], Image.Image]] = {
    "Identity": lambda image, _: image,
    "ShearX": lambda image, by: _affine(image, (1.0, _slope(by), 0.0, 0.0, 1.0, 0.0)),
    "ShearY": lambda image, by: _affine(image, (1.0, 0.0, 0.0, _slope(by), 1.0, 0.0)),
    "TranslateX": lambda image, by: _affine(image, (1.0, 0.0, -float(int(by)), 0.0, 1.0, 0.0)),
    "TranslateY": lambda image, by: _affine(image, (1.0, 0.0, 0.0, 0.0, 1.0, -float(int(by)))),
    "Rotate": lambda image, degrees: image.rotate(degrees, Image.Resampling.NEAREST),
    "Brightness": lambda image, by: ImageEnhance.Brightness(image).enhance(1 + by),
    "Color": lambda image, by: ImageEnhance.Color(image).enhance(1 + by),
    "Contrast": lambda image, by: ImageEnhance.Contrast(image).enhance(1 + by),
    "Sharpness": lambda image, by: ImageEnhance.Sharpness(image).enhance(1 + by),
    "Posterize": lambda image, bits: ImageOps.posterize(image, int(bits)),
    "Solarize": lambda image, threshold: ImageOps.solarize(image, math.ceil(threshold)),
    "AutoContrast": lambda image, _: ImageOps.autocontrast(image),
    "Equalize": lambda image, _: ImageOps.equalize(image),
}
