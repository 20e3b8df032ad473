"""Colours at random and RandAugment: probabilities, ranges, and one generator for one picture. Against torchvision: tests/parity."""

import colorsys

import numpy as np
import pytest
from PIL import Image

from diptych.data.augment import colour_jitter, to_grey, turn_hue
from diptych.data.order import generator
from diptych.data.randaugment import OPERATIONS, apply, rand_augment, strength
from diptych.data.spec import AugmentSpec, DataSpec
from diptych.data.transforms import augmented, is_random


def noise(width=24, height=16, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("augment", "random"),
    [
        (AugmentSpec(), False),
        (AugmentSpec(colour_jitter_p=1.0), False),
        (AugmentSpec(colour_jitter=(0.4, 0, 0, 0), colour_jitter_p=0.0), False),
        (AugmentSpec(colour_jitter=(0, 0, 0, 0.1)), True),
        (AugmentSpec(grey=0.1), True),
        (AugmentSpec(flip=0.1), True),
        (AugmentSpec(randaugment=(1, 0)), True),
        (AugmentSpec(crop_scale=(0.9, 1.0)), True),
    ],
)
def test_what_needs_random_numbers(augment, random):
    assert is_random(augment) == random


ALL = AugmentSpec(crop_scale=(0.4, 1), flip=0.5, colour_jitter=(0.4, 0.4, 0.4, 0.1), colour_jitter_p=0.8, grey=0.2, randaugment=(2, 9))


def test_the_position_decides_the_picture():
    image, spec = noise(60, 50), DataSpec(image_size=16, augment=ALL)
    first = [np.asarray(augmented(image, spec, generator(0, at, "augment"))) for at in range(20)]
    again = [np.asarray(augmented(image, spec, generator(0, at, "augment"))) for at in reversed(range(20))]
    assert all(np.array_equal(a, b) for a, b in zip(first, reversed(again)))
    assert len({picture.tobytes() for picture in first}) == 20


def test_grey_has_its_probability():
    image, spec = noise(), DataSpec(image_size=16, augment=AugmentSpec(grey=0.2))
    grey = np.asarray(to_grey(image))
    luma = (np.asarray(image) @ [0.299, 0.587, 0.114])[..., None]
    assert np.abs(grey - luma).max() <= 1
    seen = [np.array_equal(augmented(image, spec, generator(0, at, "augment")), grey) for at in range(2000)]
    assert abs(np.mean(seen) - 0.2) < 0.03


def test_jitter_has_its_probability_and_leaves_strength_0_alone():
    image, spec = noise(), DataSpec(image_size=16, augment=AugmentSpec(colour_jitter=(0.4, 0, 0, 0), colour_jitter_p=0.3))
    changed = [not np.array_equal(augmented(image, spec, generator(0, at, "augment")), image) for at in range(2000)]
    assert abs(np.mean(changed) - 0.3) < 0.035
    assert np.array_equal(colour_jitter(image, np.random.default_rng(0), strengths=(0, 0, 0, 0)), image)


@pytest.mark.parametrize("strength", [0.5, 3.0])
def test_brightness_is_uniform_in_its_range(strength):
    image = Image.new("RGB", (1, 1), (50, 50, 50))
    factors = [np.asarray(colour_jitter(image, generator(0, at, "x"), strengths=(strength, 0, 0, 0)))[0, 0, 0] / 50 for at in range(3000)]
    low, high = max(0, 1 - strength), 1 + strength
    assert low <= min(factors) < low + 0.05 and high - 0.05 < max(factors) <= high
    assert abs(np.mean(factors) - (low + high) / 2) < 0.05 * strength


def test_the_order_of_the_changes_is_random():
    # after saturation 0 only grey is left, whose hue cannot turn: the two orders give different pictures
    image = noise()
    seen = {np.asarray(colour_jitter(image, generator(0, at, "x"), strengths=(0.9, 0.9, 0, 0))).std() for at in range(50)}
    assert len(seen) == 50


def test_hue_turns_by_parts_of_a_circle():
    image = Image.new("RGB", (1, 1), (200, 40, 40))
    for turn in (-0.5, -0.2, 0.0, 0.1, 0.5):
        hue = colorsys.rgb_to_hsv(*(np.asarray(turn_hue(image, turn))[0, 0] / 255))[0]
        assert min(abs(hue - turn % 1), 1 - abs(hue - turn % 1)) < 0.01, turn


def test_randaugment_draws_every_operation_evenly(monkeypatch):
    drawn = []
    monkeypatch.setattr("diptych.data.randaugment.apply", lambda image, name, argument: drawn.append((name, argument)) or image)
    for at in range(3500):
        rand_augment(noise(), generator(0, at, "augment"), operations=2, magnitude=9)
    names, counts = np.unique([name for name, _ in drawn], return_counts=True)
    assert set(names) == set(OPERATIONS) and len(names) == 14
    assert np.abs(counts / 500 - 1).max() < 0.2
    signs = [np.sign(argument) for name, argument in drawn if name == "Rotate"]
    assert abs(np.mean(signs)) < 0.15
    assert {argument for name, argument in drawn if name == "Posterize"} == {strength("Posterize", 9, (24, 16))}


@pytest.mark.parametrize(
    ("name", "none", "most"),
    [
        ("Rotate", 0, 30),
        ("ShearX", 0, 0.3),
        ("TranslateX", 0, 150 / 331 * 24),
        ("TranslateY", 0, 150 / 331 * 16),
        ("Color", 0, 0.9),
        ("Posterize", 8, 4),
        ("Solarize", 255, 0),
        ("Equalize", 0, 0),
    ],
)
def test_magnitudes_go_over_their_range(name, none, most):
    assert strength(name, 0, (24, 16)) == none and strength(name, 30, (24, 16)) == pytest.approx(most, rel=1e-6)
    assert strength(name, 15, (24, 16)) == pytest.approx((none + most) / 2, rel=1e-6)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in ("Solarize", "AutoContrast", "Equalize")])
def test_no_magnitude_leaves_the_image_as_it_is(name):
    image = noise()
    assert np.array_equal(apply(image, name, strength(name, 0, image.size)), image)


def test_operations_move_as_they_say():
    pixels = np.asarray(noise())
    moved = np.asarray(apply(noise(), "TranslateX", 5.9))
    assert np.array_equal(moved[:, 5:], pixels[:, :-5]) and not moved[:, :5].any()
    sheared = np.asarray(apply(noise(), "ShearX", -0.5))
    assert all(np.array_equal(sheared[row, (row + 1) // 2 + 1 :], pixels[row, 1 : 24 - (row + 1) // 2]) for row in range(0, 16, 4))
