"""Preprocessing of images, by name of the released weights that were trained or published with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from .spec import DataSpec

OPENAI_MEAN, OPENAI_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)  # pixels to [-1, 1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImagePreset:
    """resize, interpolation: as in `DataSpec`. margin: pixels of the resized image to those that the centre crop leaves.

    mean, std: per channel, of pixels scaled to [0, 1]; what `model.image.mean` and `std` must be.
    """

    resize: str
    interpolation: str
    margin: tuple[int, int] = (1, 1)
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


OPENAI_CLIP = ImagePreset(resize="shortest", interpolation="bicubic", mean=OPENAI_MEAN, std=OPENAI_STD)
PRESETS: Mapping[str, ImagePreset] = {
    # OpenAI's CLIP and most of open_clip's weights: torchvision's Resize and CenterCrop on Pillow images
    "openai_clip": OPENAI_CLIP,
    # open_clip's CoCa (laion2B-s13B-b90k, mscoco_finetuned) was trained with OpenAI's
    "coca_open_clip": OPENAI_CLIP,
    # google/siglip-* in transformers, and SigLIP and SigLIP 2 in open_clip
    "siglip": ImagePreset(resize="squash", interpolation="bicubic", mean=HALF, std=HALF),
    # google/siglip2-* in transformers; nearer to big_vision, which resizes bilinearly (but without antialiasing)
    "siglip2": ImagePreset(resize="squash", interpolation="bilinear", mean=HALF, std=HALF),
    # kakaobrain/align-base: 346 x 346, of which the central 289 x 289
    "align": ImagePreset(resize="squash", interpolation="bilinear", margin=(346, 289), mean=HALF, std=HALF),
    # torchvision's classifiers: shorter side 256, of which the central 224 x 224
    "imagenet": ImagePreset(resize="shortest", interpolation="bilinear", margin=(256, 224), mean=IMAGENET_MEAN, std=IMAGENET_STD),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """The deterministic transform of evaluation; the arguments of `transforms.evaluation`.

    size: pixels of the square. resize, interpolation: as in `DataSpec`.
    resize_size: pixels that the (shorter) side has before the centre crop.
    """

    size: int
    resize: str
    interpolation: str
    resize_size: int


def preprocessing(spec: DataSpec) -> Preprocessing:
    """What `data.preset` asks for at `data.image_size`, or without a preset `data.resize` and `data.interpolation`."""
    size = spec.image_size
    if spec.preset is None:
        return Preprocessing(size=size, resize=spec.resize, interpolation=spec.interpolation, resize_size=size)
    preset = PRESETS[spec.preset]
    whole, crop = preset.margin
    return Preprocessing(
        size=size, resize=preset.resize, interpolation=preset.interpolation, resize_size=max(size, round(size * whole / crop))
    )
