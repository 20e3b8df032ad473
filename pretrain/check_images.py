"""What must hold of the settings of a recipe that say how images are decoded, augmented and resized."""

from __future__ import annotations

import dataclasses
import math

from ..data.decode_fast import check_installed
from ..data.image_presets import PRESETS, preprocessing
from ..data.resize import MAX_PIXELS
from ..data.spec import AugmentSpec, DataSpec, SizeScheduleSpec
from ..data.transforms import crops
from ..errors import UserError
from .spec import Recipe

PILLOWS_LIMIT = 178_956_970  # pixels above which Pillow itself refuses to open an image
LARGEST_SIDE = math.isqrt(MAX_PIXELS)  # of an image that is resized: 8,192
HIGHEST = (10, 30)  # operations and magnitude of RandAugment


def check_images(recipe: Recipe) -> None:
    """Raises UserError for the first setting of `data` about images that cannot be trained with."""
    data = recipe.data
    _check_augment(data.augment, "data.augment")
    _check_augment(data.views, "data.views")
    for setting, name in (("data.decode.backend", data.decode.backend), ("data.decode.resizer", data.decode.resizer)):
        check_installed(name, setting=setting)
    if not 0 < data.decode.max_pixels <= PILLOWS_LIMIT:
        raise UserError(f"data.decode.max_pixels = {data.decode.max_pixels} is out of range; accepted is 1 to {PILLOWS_LIMIT}")
    if data.preset is not None:
        _check_preset(recipe, data.preset)
    _check_sides(data)
    if data.size_schedule is not None:
        _check_schedule(data.size_schedule, patch_size=recipe.model.image.patch_size)


def _check_preset(recipe: Recipe, name: str) -> None:
    """The preset exists, and the model normalises pixels as its weights expect."""
    if name not in PRESETS:
        raise UserError(f"data.preset = {name!r} is unknown; accepted is {' or '.join(PRESETS)}, or none")
    image, preset = recipe.model.image, PRESETS[name]
    for setting, value, wanted in (("mean", image.mean, preset.mean), ("std", image.std, preset.std)):
        if value != wanted:
            raise UserError(f"model.image.{setting} = {value} does not go with data.preset = {name}; accepted is {wanted}")


def _check_sides(data: DataSpec) -> None:
    """Images fit in memory, also those that a preset cuts the wanted size from."""
    sizes = data.size_schedule.sizes if data.size_schedule is not None else ()
    for setting, side in (
        ("data.image_size", data.image_size),
        *(() if data.resize_first is None else [("data.resize_first", data.resize_first)]),
        *(("data.size_schedule.sizes", size) for size in sizes),
    ):
        whole = side if setting == "data.resize_first" else preprocessing(dataclasses.replace(data, image_size=side)).resize_size
        if whole > LARGEST_SIDE:
            raise UserError(f"{setting} = {side} is out of range; accepted is 1 to {LARGEST_SIDE * side // whole}")


def _check_augment(augment: AugmentSpec, path: str) -> None:
    low, high = augment.crop_scale
    if not 0 < low <= high <= 1:
        raise UserError(f"{path}.crop_scale = {(low, high)} is out of range; accepted are two rising numbers above 0, up to 1")
    low, high = augment.crop_ratio
    if not 0 < low <= high < float("inf"):
        raise UserError(f"{path}.crop_ratio = {(low, high)} is out of range; accepted are two rising numbers above 0")
    if augment.crop_ratio != (1.0, 1.0) and not crops(augment):
        raise UserError(
            f"{path}.crop_ratio = {augment.crop_ratio} is of a random crop, which {path}.crop_scale = {augment.crop_scale} "
            "does not make; accepted is (1.0, 1.0), or a crop_scale below 1"
        )
    jitter = augment.colour_jitter
    if not all(0 <= strength < float("inf") for strength in jitter) or jitter[3] > 0.5:
        raise UserError(f"{path}.colour_jitter = {jitter} is out of range; accepted are four numbers from 0, the last up to 0.5")
    if augment.randaugment is not None:
        operations, magnitude = augment.randaugment
        if not (1 <= operations <= HIGHEST[0] and 0 <= magnitude <= HIGHEST[1]):
            raise UserError(
                f"{path}.randaugment = {augment.randaugment} is out of range; "
                f"accepted are 1 to {HIGHEST[0]} operations and a magnitude of 0 to {HIGHEST[1]}"
            )
    low, high = augment.blur_sigma
    if not 0 <= low <= high < float("inf"):
        raise UserError(f"{path}.blur_sigma = {(low, high)} is out of range; accepted are two rising numbers from 0")


def _check_schedule(schedule: SizeScheduleSpec, *, patch_size: int) -> None:
    if bool(schedule.sizes) == bool(schedule.seq_lens):
        raise UserError(
            f"data.size_schedule has sizes = {schedule.sizes} and seq_lens = {schedule.seq_lens}; accepted is one of the two, with values"
        )
    for name, value in (("patch_size", schedule.patch_size), ("window", schedule.window)):
        if value < 1:
            raise UserError(f"data.size_schedule.{name} = {value} is out of range; accepted is a number above 0")
    if schedule.patch_size != patch_size:
        raise UserError(
            f"data.size_schedule.patch_size = {schedule.patch_size} differs from model.image.patch_size = {patch_size}; "
            f"accepted is {patch_size}"
        )
    if any(size < 1 or size % schedule.patch_size for size in schedule.sizes):
        raise UserError(f"data.size_schedule.sizes = {schedule.sizes} has no multiples of {schedule.patch_size}; accepted are multiples")
    if any(length < 1 for length in schedule.seq_lens):
        raise UserError(f"data.size_schedule.seq_lens = {schedule.seq_lens} is out of range; accepted are numbers above 0")
    longest = MAX_PIXELS // schedule.patch_size**2
    if any(length > longest for length in schedule.seq_lens):
        raise UserError(f"data.size_schedule.seq_lens = {schedule.seq_lens} is out of range; accepted are numbers up to {longest}")
