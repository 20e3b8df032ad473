"""Images of any aspect as sequences of patches (NaFlex: Tschannen et al., 2025, section 2.4.2; Dehghani et al., 2023, NaViT)."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from .picture import Picture, size_of
from .resize import resize

EPS = 1e-5  # of the search for the scale; what transformers' Siglip2ImageProcessor takes, which decides some grids
SCALES = (EPS / 10, 100.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Patches:
    """An image as at most N patches of P x P pixels, row by row; the rest is padding, 0 everywhere.

    pixels: uint8[N, P * P * 3], each patch flattened as (row, column, channel). yx: int32[N, 2], row and column of the patch in the image.
    mask: bool[N], true where there is a patch.
    """

    pixels: np.ndarray
    yx: np.ndarray
    mask: np.ndarray


def patch_grid(size: tuple[int, int], *, patch_size: int, seq_len: int) -> tuple[int, int]:
    """(rows, columns) of the patches of an image of `size` (width, height): the largest scale at which, each side rounded up to whole
    patches, there are at most `seq_len` of them."""
    low, high = SCALES
    while high - low >= EPS:
        scale = (low + high) / 2
        rows, columns = _grid(size, scale, patch_size)
        low, high = (scale, high) if rows * columns <= seq_len else (low, scale)
    return _grid(size, low, patch_size)


def fit_patches(image: Picture, *, patch_size: int, seq_len: int, interpolation: str = "bilinear", resizer: str = "pillow") -> Picture:
    """The picture resized to whole patches, at most `seq_len`; its aspect is kept but for that.

    Resized in uint8, as transformers does; big_vision resizes floats, which differ by up to half a level.
    """
    rows, columns = patch_grid(size_of(image), patch_size=patch_size, seq_len=seq_len)
    return resize(image, (columns * patch_size, rows * patch_size), interpolation=interpolation, resizer=resizer)


def to_patches(image: Picture, *, patch_size: int, seq_len: int) -> Patches:
    """A picture of whole patches, at most `seq_len`, as `seq_len` patches with padding."""
    columns, rows = (side // patch_size for side in size_of(image))
    cells = np.asarray(image).reshape(rows, patch_size, columns, patch_size, 3).transpose(0, 2, 1, 3, 4)
    count = rows * columns
    pixels = np.zeros((seq_len, patch_size * patch_size * 3), np.uint8)
    pixels[:count] = cells.reshape(count, -1)
    yx = np.zeros((seq_len, 2), np.int32)
    yx[:count] = np.stack(np.divmod(np.arange(count), columns), axis=1)
    return Patches(pixels, yx, np.arange(seq_len) < count)


def _grid(size: tuple[int, int], scale: float, patch_size: int) -> tuple[int, int]:
    width, height = (max(1, math.ceil(side * scale / patch_size)) for side in size)
    return height, width
