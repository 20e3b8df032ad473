"""Antialiased resizing, as Pillow defines it, by Pillow or by a faster resizer."""

from __future__ import annotations

import numpy as np
import PIL
from PIL import Image

from .bad import BadSample
from .picture import Picture, size_of, to_image

MAX_PIXELS = 1 << 26  # of what resizing makes: 8,192 x 8,192, 256 MiB in memory
PILLOW = int(PIL.__version__.partition(".")[0])
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def resize(picture: Picture, size: tuple[int, int], *, interpolation: str = "bicubic", resizer: str = "pillow") -> Picture:
    """The picture at `size` (width, height): the filter (`bicubic`: a = -0.5) is widened by the factor of a reduction.

    resizer: `pillow`, or `cykooz`, of whose levels 1 in 100 differs from Pillow's, by 1 or 2.
    Raises BadSample for a size of more than 2^26 pixels.
    """
    if size_of(picture) == size:
        return picture
    check_target(picture, size)
    return _cykooz(picture, size, interpolation) if resizer == "cykooz" else to_image(picture).resize(size, FILTERS[interpolation])


def check_target(picture: Picture, size: tuple[int, int]) -> None:
    """Raises BadSample where the picture at `size` (width, height) would have more than 2^26 pixels."""
    if size[0] * size[1] > MAX_PIXELS:
        width, height = size_of(picture)
        raise BadSample(f"image of {width} x {height} pixels is too elongated")


def _cykooz(picture: Picture, size: tuple[int, int], interpolation: str) -> np.ndarray:
    # Bytes in and out: `resize_pil` saves a copy by reaching into Pillow's memory, whose layout changes between versions.
    import cykooz_resizer as cykooz

    kind = {"bicubic": cykooz.FilterType.catmull_rom, "bilinear": cykooz.FilterType.bilinear}[interpolation]
    options = cykooz.ResizeOptions(resize_alg=cykooz.ResizeAlg.convolution(kind))
    pixels = cykooz.ImageData(*size_of(picture), cykooz.PixelType.U8x3, picture.tobytes())
    # Pillow's passes, each rounded to 8 bits: the other order is up to 22 levels off where bicubic overshoots
    for target in (_first_pass(size_of(picture), size), size):
        if target != (pixels.width, pixels.height):
            source, pixels = pixels, cykooz.ImageData(*target, cykooz.PixelType.U8x3)
            cykooz.Resizer().resize(source, pixels, options)
    return np.frombuffer(pixels.get_buffer(), np.uint8).reshape(size[1], size[0], 3)


def _first_pass(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """What Pillow resizes first: the width; since Pillow 13 the height, where it shrinks by more than twice what the width does."""
    (width, height), (new_width, new_height) = size, target
    vertical = PILLOW >= 13 and height - new_height > max(0, 2 * (width - new_width))
    return (width, new_height) if vertical else (new_width, height)
