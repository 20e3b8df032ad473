"""Bytes of an image -> a picture in RGB: the reference, and the door to the faster decoders."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from .bad import BadSample
from .decode_fast import decode_simplejpeg
from .picture import Picture, to_image
from .sample import Sample
from .spec import DecodeSpec

IMAGES = ("jpg", "png", "jpeg", "webp", "gif", "bmp", "tif", "tiff")
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # of 50 that Pillow reads; one of the others (EPS) would start a program
JPEGS = ("JPEG", "MPO")  # what Pillow finds where JPEG is asked for: cameras write several in one file, the second often for depth
REFERENCE = DecodeSpec()
MAX_SCANS = 100  # a progressive JPEG has about 10; libjpeg has no limit, and each passes over the whole image: 16 ms for 2^26 pixels
ORIENTATION = 0x0112  # EXIF's tag (CIPA DC-008, section 4.6.4)
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def picture_of(sample: Sample, spec: DecodeSpec = REFERENCE, *, needed: int | None = None) -> Picture:
    """The sample's first member among `IMAGES`, decoded as `decode_picture` does. Raises BadSample."""
    for suffix in IMAGES:
        if suffix in sample.members:
            return decode_picture(sample.members[suffix], spec, needed=needed)
    raise BadSample(f"no image among {', '.join(sorted(sample.members))}")


def image_of(sample: Sample, spec: DecodeSpec = REFERENCE, *, needed: int | None = None) -> Image.Image:
    """`picture_of` as Pillow's image."""
    return to_image(picture_of(sample, spec, needed=needed))


def decode(data: bytes, spec: DecodeSpec = REFERENCE, *, needed: int | None = None) -> Image.Image:
    """`decode_picture` as Pillow's image."""
    return to_image(decode_picture(data, spec, needed=needed))


def decode_picture(data: bytes, spec: DecodeSpec, *, needed: int | None = None) -> Picture:
    """The first frame in mode RGB, as `convert("RGB")` makes it (alpha is dropped, CMYK is inverted), like torchvision and open_clip.

    Grey of 16 bits keeps its high byte, as Pillow does with colours of 16 bits (open_clip sees such an image all but white). Grey of
    32 bits, integers or floats, does not say which numbers are black and white; Pillow would clip it.
    needed: pixels that the shorter side must keep where `decode.backend` may decode a JPEG at a smaller scale; absent: all.
    Raises BadSample: not an image of `FORMATS`, cut short, of 32 bits a channel, or more than `decode.max_pixels` pixels by its header.
    Which images are bad does not depend on the backend: the reference decides wherever a faster decoder does not like what it sees.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
        if width * height <= spec.max_pixels:
            pixels = _pixels(image, data, spec, needed)
            return _upright(pixels, image) if spec.exif == "rotate" else pixels
    except (MemoryError, BadSample):
        raise
    except Exception as error:  # the bytes are in memory: whatever Pillow raises (ten classes and counting) is about them
        raise BadSample(f"image cannot be decoded ({type(error).__name__})") from error
    raise BadSample(f"image of {width} x {height} pixels is too large")


def _pixels(image: Image.Image, data: bytes, spec: DecodeSpec, needed: int | None) -> Picture:
    """An opened image in RGB, by the backend."""
    if image.format in JPEGS:
        if "progressive" in image.info and data.count(b"\xff\xda") > MAX_SCANS:
            raise BadSample(f"image has more than {MAX_SCANS} scans")
        if spec.backend == "simplejpeg" and image.mode != "CMYK":
            fast = decode_simplejpeg(data, size=image.size, needed=needed)
            if fast is not None:
                return fast
        elif spec.backend == "pillow_draft" and needed is not None:
            image.draft(image.mode, (needed, needed))
    return _rgb(image)


def to_rgb(image: Image.Image, *, exif: str = "ignore") -> Image.Image:
    """An image that someone opened, in RGB as `decode` makes it. Raises OSError, and BadSample for 32 bits a channel."""
    pixels = _rgb(image)
    return to_image(_upright(pixels, image)) if exif == "rotate" else pixels


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F"):
        raise BadSample("image has 32 bits a channel")
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def _upright(pixels: Picture, image: Image.Image) -> Picture:
    """Turned as the EXIF of the opened image says; as it is where that cannot be read."""
    try:
        method = UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # broken metadata beside sound pixels: what Pillow raises has no common class
        method = None
    return pixels if method is None else to_image(pixels).transpose(method)
