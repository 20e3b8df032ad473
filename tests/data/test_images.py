"""Decoding and transforms, against definitions written out here by the rules of torchvision."""

import io

import numpy as np
import pytest
from PIL import Image

from diptych.data.augment import random_box
from diptych.data.bad import BadSample
from diptych.data.decode import decode, image_of
from diptych.data.order import generator
from diptych.data.sample import Sample
from diptych.data.spec import AugmentSpec, DataSpec
from diptych.data.transforms import augmented, evaluation, prepare

SIZES = [(64, 64), (100, 75), (75, 100), (33, 32), (47, 300), (32, 20), (21, 29)]


def noise(width, height, channels=3):
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, channels), dtype=np.uint8))


def encoded(image, format="png"):
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()


def torchvision_evaluation(image, size):
    """Resize(size, BICUBIC), CenterCrop(size) as torchvision 0.29 computes them."""
    width, height = image.size
    short, long = (width, height) if width <= height else (height, width)
    new_long = int(size * long / short)
    image = image.resize((size, new_long) if width <= height else (new_long, size), Image.BICUBIC)
    top, left = round((image.height - size) / 2.0), round((image.width - size) / 2.0)
    return image.crop((left, top, left + size, top + size))


@pytest.mark.parametrize("size", SIZES)
def test_shortest_is_torchvisions_resize_and_centre_crop(size):
    image = noise(*size)
    assert np.array_equal(evaluation(image, size=32, resize="shortest"), torchvision_evaluation(image, 32))


def test_squash_loses_the_aspect():
    image = noise(50, 70)
    assert np.array_equal(evaluation(image, size=32, resize="squash"), image.resize((32, 32), Image.BICUBIC))


def test_too_elongated_is_a_bad_sample():
    with pytest.raises(BadSample, match="9000 x 1 pixels is too elongated"):
        evaluation(Image.new("RGB", (9000, 1)), size=224, resize="shortest")


def test_without_a_crop_training_sees_what_evaluation_sees():
    image = noise(90, 60)
    spec = DataSpec(image_size=32)
    seen = augmented(prepare(image, spec), spec, generator(0, 0, "augment"))
    assert np.array_equal(seen, evaluation(image, size=32, resize="shortest"))


def test_square_crop_of_a_square_image():
    sides = []
    for position in range(500):
        random, again = generator(1, position, "augment"), generator(1, position, "augment")
        left, top, right, bottom = random_box((72, 72), AugmentSpec(crop_scale=(0.4, 1.0)), random)
        side = round(72 * np.sqrt(0.4 + 0.6 * again.random(4)[0]))
        assert right - left == bottom - top == side
        assert left >= 0 and top >= 0 and right <= 72 and bottom <= 72
        sides.append(side)
    assert min(sides) == round(72 * 0.4**0.5) and max(sides) == 72


def test_places_of_crops_reach_both_ends_evenly():
    boxes = [random_box((40, 40), AugmentSpec(crop_scale=(0.81, 0.81)), generator(2, at, "augment")) for at in range(3000)]
    left, count = np.unique([box[0] for box in boxes], return_counts=True)
    assert left.tolist() == [0, 1, 2, 3, 4]
    assert np.abs(count / 3000 - 0.2).max() < 0.03


def test_ratio_is_log_uniform_and_area_uniform():
    augment = AugmentSpec(crop_scale=(0.1, 0.3), crop_ratio=(0.5, 2.0))
    boxes = np.array([random_box((2000, 2000), augment, generator(3, at, "augment")) for at in range(3000)])
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    ratio, area = np.log(width / height), width * height / 4e6
    assert abs(ratio.mean()) < 0.03 and abs(ratio.std() - np.log(4) / 12**0.5) < 0.02
    assert abs(area.mean() - 0.2) < 0.005 and abs(area.std() - 0.2 / 12**0.5) < 0.003


@pytest.mark.parametrize(
    ("size", "box"),
    [((300, 30), (130, 0, 170, 30)), ((30, 300), (0, 130, 30, 170)), ((40, 31), (0, 0, 40, 31))],
)
def test_fallback_is_the_largest_central_crop(size, box):
    augment = AugmentSpec(crop_scale=(1.5, 2.0), crop_ratio=(3 / 4, 4 / 3))
    assert random_box(size, augment, generator(0, 0, "augment")) == box


def test_flip_has_its_probability():
    image, spec = noise(32, 32), DataSpec(image_size=32, augment=AugmentSpec(flip=0.3))
    mirrored = np.asarray(image)[:, ::-1]
    flips = [np.array_equal(augmented(image, spec, generator(0, at, "augment")), mirrored) for at in range(2000)]
    assert abs(np.mean(flips) - 0.3) < 0.03


def test_resize_first_comes_before_the_crop():
    image, spec = noise(120, 80), DataSpec(image_size=32, resize_first=48, augment=AugmentSpec(crop_scale=(0.4, 1.0)))
    first = prepare(image, spec)
    assert np.array_equal(first, evaluation(image, size=48, resize="shortest"))
    box = random_box((48, 48), spec.augment, generator(9, 9, "augment"))
    seen = augmented(first, spec, generator(9, 9, "augment"))
    assert np.array_equal(seen, first.crop(box).resize((32, 32), Image.BICUBIC))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK", "I;16"])
def test_modes_become_rgb_as_pillow_converts_them(mode):
    deep = np.random.default_rng(0).integers(0, 65536, (10, 20), dtype=np.uint16)
    image = Image.fromarray(deep) if mode == "I;16" else noise(20, 10).convert(mode)
    data = encoded(image, "jpeg" if mode == "CMYK" else "png")
    opened = Image.open(io.BytesIO(data))
    assert opened.mode == mode
    # Pillow clips 16 bits to 8: of them, the high byte is kept
    expected = np.stack([deep >> 8] * 3, axis=-1) if mode == "I;16" else opened.convert("RGB")
    assert np.array_equal(decode(data), expected)


@pytest.mark.parametrize("suffix", ["jpg", "png", "jpeg", "webp"])
def test_any_image_member_is_found(suffix):
    data = encoded(noise(8, 8), {"jpg": "jpeg"}.get(suffix, suffix))
    assert image_of(Sample("s", "k", {"txt": b"", suffix: data})).size == (8, 8)


def broken():
    good, jpeg = encoded(noise(40, 40)), encoded(noise(40, 40), "jpeg")
    bomb = bytearray(encoded(Image.new("1", (8192, 8192)).crop((0, 0, 8192, 8193))))
    return {
        "empty": (b"", "cannot be decoded"),
        "html": (b"<html>404</html>", "cannot be decoded"),
        "cut png": (good[: len(good) // 2], "cannot be decoded"),
        "cut jpeg": (jpeg[: len(jpeg) // 2], "cannot be decoded"),
        "flipped": (good[:60] + bytes([good[60] ^ 255]) + good[61:], "cannot be decoded"),
        "bomb": (bytes(bomb), "8192 x 8193 pixels is too large"),
    }


@pytest.mark.parametrize("name", broken())
def test_broken_images_are_bad_samples(name):
    data, reason = broken()[name]
    with pytest.raises(BadSample, match=reason):
        image_of(Sample("s", "k", {"png": data}))


def test_sample_without_an_image():
    with pytest.raises(BadSample, match="no image among json, txt"):
        image_of(Sample("s", "k", {"txt": b"", "json": b""}))
