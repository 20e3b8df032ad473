"""Bytes of an image -> a Pillow image in RGB."""

from __future__ import annotations

import io

from PIL import Image

from .bad import BadSample
from .sample import Sample

IMAGES = ("jpg", "png", "jpeg", "webp")
MAX_PIXELS = 1 << 26  # 8,192 x 8,192: 256 MiB in memory; below the size at which Pillow itself warns


def image_of(sample: Sample) -> Image.Image:
    """The sample's first member of jpg, png, jpeg, webp, decoded. Raises BadSample."""
    for suffix in IMAGES:
        if suffix in sample.members:
            return decode(sample.members[suffix])
    raise BadSample(f"no image among {', '.join(sorted(sample.members))}")


def decode(data: bytes) -> Image.Image:
    """The image in mode RGB, as `convert("RGB")` makes it (alpha is dropped, EXIF is not followed), like torchvision and open_clip.

    Raises BadSample: not an image, cut short, or more than 2^26 pixels by its header.
    """
    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height <= MAX_PIXELS:
            return image.convert("RGB")
    except MemoryError:
        raise
    except Exception as error:  # the bytes are in memory: whatever Pillow raises (ten classes and counting) is about them
        raise BadSample(f"image cannot be decoded ({type(error).__name__})") from error
    raise BadSample(f"image of {image.width} x {image.height} pixels is too large")
