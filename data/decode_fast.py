"""Decoders that are faster than the reference, and what is installed. Their difference in pixels: docs/data.md."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util

import numpy as np
import PIL

from ..errors import UserError

EXTRAS = {"simplejpeg": "simplejpeg", "cykooz": "cykooz_resizer"}  # backend or resizer -> the module that it needs


def decode_simplejpeg(data: bytes, *, size: tuple[int, int], needed: int | None) -> np.ndarray | None:
    """A JPEG of `size` (width, height), at the smallest M/8 scale that leaves `needed` pixels of its shorter side: uint8[H, W, 3].

    At full scale the pixels are the reference's, bit for bit: accurate inverse DCT, smooth upsampling of colours.
    None where libjpeg-turbo finds another size, or warns of anything (cut short, bytes that make no sense): then the reference decides.
    """
    import simplejpeg

    scaled = needed is not None and needed < min(size)  # else no scale: 2 x 500 pixels at 5/8 are 2 x 313, rounded up
    width, height = (needed, needed) if scaled else size
    try:
        if simplejpeg.decode_jpeg_header(data)[1::-1] != size:  # a file with two headers could claim more pixels than were let in
            return None
        pixels: np.ndarray = simplejpeg.decode_jpeg(data, "RGB", fastdct=False, fastupsample=False, min_width=width, min_height=height)
    except ValueError:
        return None
    return pixels


def pillow_name() -> str:
    """The installed Pillow: `pillow 13.0.0`, or `pillow-simd 12.1.1.post0`, which resizes 3 to 4 times faster within one level."""
    name = "pillow"
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        if importlib.metadata.version("pillow-simd") == PIL.__version__:
            name = "pillow-simd"
    return f"{name} {PIL.__version__}"


def image_versions() -> dict[str, str]:
    """The installed libraries that pixels depend on, by name."""
    found = {"pillow": pillow_name()}
    for module in EXTRAS.values():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[_package(module)] = importlib.metadata.version(_package(module))
    return found


def _package(module: str) -> str:
    return module.replace("_", "-")


def check_installed(name: str, *, setting: str) -> None:
    """UserError where the package behind a backend or a resizer is missing."""
    module = EXTRAS.get(name)
    if module is not None and importlib.util.find_spec(module) is None:
        raise UserError(
            f"{setting} = {name} needs the package {_package(module)}, which is not installed; "
            "accepted is pillow, or pip install 'diptych[fast]'"
        )
