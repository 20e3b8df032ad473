"""An RGB picture on its way to the batch: Pillow's, or an array. From one to the other, all pixels are copied, slower than resized."""

from __future__ import annotations

import numpy as np
from PIL import Image

Picture = Image.Image | np.ndarray  # mode RGB, or uint8[H, W, 3], perhaps read-only
PIXEL_BYTES = 4  # Pillow keeps RGB in four


def size_of(picture: Picture) -> tuple[int, int]:
    """(width, height)."""
    return picture.size if isinstance(picture, Image.Image) else (picture.shape[1], picture.shape[0])


def memory_of(picture: Picture) -> int:
    """Bytes of its pixels."""
    return picture.width * picture.height * PIXEL_BYTES if isinstance(picture, Image.Image) else picture.nbytes


def to_image(picture: Picture) -> Image.Image:
    """As Pillow's, for all that Pillow alone can do."""
    return picture if isinstance(picture, Image.Image) else Image.fromarray(picture)


def crop(picture: Picture, box: tuple[int, int, int, int]) -> Picture:
    """The part (left, top, right, bottom) of it, which lies within it."""
    left, top, right, bottom = box
    return picture.crop(box) if isinstance(picture, Image.Image) else picture[top:bottom, left:right]


def mirror(picture: Picture) -> Picture:
    """Left and right exchanged."""
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if isinstance(picture, Image.Image) else picture[:, ::-1]
