"""Images as users have them -> what the image tower takes."""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ...data.bad import BadSample
from ...data.decode import decode, to_rgb
from ...data.spec import DecodeSpec
from ...data.transforms import evaluation
from ...errors import UserError
from .config import ExportConfig

ImageLike = str | os.PathLike[str] | Image.Image | np.ndarray
ACCEPTED = "accepted are paths, PIL images and uint8 arrays [H, W, 3]"


def as_list(images: ImageLike | Sequence[ImageLike]) -> list[ImageLike]:
    """One image, several, or an array uint8[B, H, W, 3], as a list."""
    if isinstance(images, (str, os.PathLike, Image.Image)) or (isinstance(images, np.ndarray) and images.ndim == 3):
        return [images]
    return list(images)


def load_images(images: Sequence[ImageLike], config: ExportConfig) -> np.ndarray:
    """uint8[B, S, S, 3] by the model's evaluation transform; UserError names an image that cannot be read."""

    def one(index: int) -> np.ndarray:
        try:
            image = open_image(images[index], DecodeSpec(exif=config.exif))
            return np.asarray(
                evaluation(
                    image,
                    size=config.image_size,
                    resize=config.resize,
                    interpolation=config.interpolation,
                    resize_size=config.resize_size,
                )
            )
        except OSError as error:
            raise UserError(f"image {_name(images, index)} cannot be read ({error.strerror or error}); {ACCEPTED}") from None
        except BadSample as error:
            raise UserError(f"image {_name(images, index)} cannot be used ({error.reason}); {ACCEPTED}") from None

    with concurrent.futures.ThreadPoolExecutor() as threads:
        return np.stack(list(threads.map(one, range(len(images)))))


def open_image(image: ImageLike, spec: DecodeSpec) -> Image.Image:
    """The image in RGB, as training decodes it. Raises OSError and BadSample."""
    if isinstance(image, Image.Image):
        return to_rgb(image, exif=spec.exif)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
            raise BadSample(f"an array {image.dtype}{list(image.shape)}")
        return Image.fromarray(image)
    if isinstance(image, (str, os.PathLike)):
        return decode(Path(image).read_bytes(), spec)
    raise BadSample(f"a {type(image).__name__}")


def _name(images: Sequence[ImageLike], index: int) -> str:
    image = images[index]
    return str(image) if isinstance(image, (str, os.PathLike)) else f"number {index}"
