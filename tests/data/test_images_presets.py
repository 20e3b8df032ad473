"""Presets and the resizers, against Pillow calls written out here. Against the references themselves: tests/parity."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from diptych.data.bad import BadSample
from diptych.data.image_presets import PRESETS, preprocessing
from diptych.data.order import generator
from diptych.data.resize import resize
from diptych.data.spec import AugmentSpec, DataSpec, DecodeSpec
from diptych.data.transforms import augmented, by_reference, evaluated, evaluation, needed_side, prepare

BICUBIC, BILINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR


def noise(width, height):
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8))


WRITTEN_OUT = {
    "openai_clip": lambda image: image.resize((28, 21), BICUBIC).crop((4, 0, 25, 21)),
    "coca_open_clip": lambda image: image.resize((28, 21), BICUBIC).crop((4, 0, 25, 21)),
    "siglip": lambda image: image.resize((21, 21), BICUBIC),
    "siglip2": lambda image: image.resize((21, 21), BILINEAR),
    "align": lambda image: image.resize((25, 25), BILINEAR).crop((2, 2, 23, 23)),
    "imagenet": lambda image: image.resize((32, 24), BILINEAR).crop((6, 2, 27, 23)),
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_at_another_size(name):
    image, spec = noise(80, 60), DataSpec(image_size=21, preset=name)
    assert np.array_equal(evaluated(image, spec), WRITTEN_OUT[name](image))
    seen = augmented(prepare(image, spec), spec, generator(0, 0, "augment"))
    assert np.array_equal(seen, WRITTEN_OUT[name](image)), "training without a crop sees what evaluation sees"


@pytest.mark.parametrize("first", [21, 30])
def test_a_preset_keeps_its_margin_where_images_are_resized_first(first):
    image, spec = noise(80, 60), DataSpec(image_size=21, preset="imagenet", resize_first=first)
    expected = evaluated(evaluation(image, size=first, resize="shortest", interpolation="bilinear"), spec)
    assert np.array_equal(prepare(image, spec), expected)


@pytest.mark.parametrize(
    ("name", "size", "resize_size"), [("imagenet", 224, 256), ("imagenet", 384, 439), ("align", 289, 346), ("siglip", 384, 384)]
)
def test_sizes_before_the_crop(name, size, resize_size):
    assert preprocessing(DataSpec(image_size=size, preset=name)).resize_size == resize_size


def test_without_a_preset_the_settings_hold():
    image, spec = noise(80, 60), DataSpec(image_size=20, resize="squash", interpolation="bilinear")
    assert np.array_equal(evaluated(image, spec), image.resize((20, 20), BILINEAR))
    assert np.array_equal(evaluated(image, dataclasses.replace(spec, interpolation="bicubic")), image.resize((20, 20), BICUBIC))


def test_a_random_crop_takes_the_presets_interpolation():
    image = noise(40, 40)
    spec = DataSpec(image_size=16, preset="siglip2", augment=AugmentSpec(crop_scale=(0.25, 0.25)))
    seen = {np.asarray(image.crop((x, y, x + 20, y + 20)).resize((16, 16), BILINEAR)).tobytes() for x in range(21) for y in range(21)}
    assert np.asarray(augmented(prepare(image, spec), spec, generator(0, 3, "augment"))).tobytes() in seen


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(20, 20), (64, 10), (90, 120), (80, 60), (1, 1), (200, 20), (100, 90), (10, 90), (64, 29)])
def test_the_fast_resizer_is_pillow_within_two_levels(interpolation, size):
    image = noise(80, 60)
    fast, reference = (resize(image, size, interpolation=interpolation, resizer=name) for name in ("cykooz", "pillow"))
    error = np.abs(np.asarray(fast).astype(int) - np.asarray(reference))
    assert np.asarray(fast).dtype == np.uint8 and error.max() <= 2 and error.mean() < 0.1


def test_evaluation_takes_the_reference_whatever_trains():
    spec = DataSpec(decode=DecodeSpec(backend="simplejpeg", resizer="cykooz", exif="rotate", max_pixels=99))
    assert by_reference(spec).decode == DecodeSpec(exif="rotate", max_pixels=99)


@pytest.mark.parametrize("mode", ["shortest", "squash"])
@pytest.mark.parametrize("resizer", ["pillow", "cykooz"])
def test_tiny_images_grow(mode, resizer):
    pixel = Image.new("RGB", (1, 1), (10, 20, 30))
    assert np.array_equal(evaluation(pixel, size=8, resize=mode, resizer=resizer), np.full((8, 8, 3), (10, 20, 30)))


def test_what_would_not_fit_in_memory_is_bad():
    with pytest.raises(BadSample, match="60000 x 1 pixels is too elongated"):
        evaluation(Image.new("RGB", (60000, 1)), size=224, resize="shortest")


def test_a_scaled_decode_leaves_twice_of_every_crop():
    plain = DataSpec(image_size=224)
    assert needed_side(plain) == 448
    assert needed_side(dataclasses.replace(plain, preset="imagenet")) == 512
    assert needed_side(dataclasses.replace(plain, resize_first=300)) == 600
    # a crop of 0.4 of the area, 3/4 as wide as high: 0.5477 of the shorter side
    crop = AugmentSpec(crop_scale=(0.4, 1.0), crop_ratio=(0.75, 4 / 3))
    assert needed_side(dataclasses.replace(plain, augment=crop)) == 818
