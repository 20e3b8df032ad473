"""Pillow's images and arrays go through the same transforms to the same pixels."""

import numpy as np
import pytest
from PIL import Image

from diptych.data.order import generator
from diptych.data.picture import crop, memory_of, mirror, size_of, to_image
from diptych.data.spec import AugmentSpec, DataSpec, DecodeSpec
from diptych.data.transforms import augmented, evaluation, prepare

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


def test_both_forms_are_measured_cropped_and_mirrored_alike():
    image = Image.fromarray(PIXELS)
    assert size_of(image) == size_of(PIXELS) == (56, 40)
    assert memory_of(image) == 56 * 40 * 4 and memory_of(PIXELS) == 56 * 40 * 3
    assert np.array_equal(crop(image, (3, 5, 20, 31)), crop(PIXELS, (3, 5, 20, 31)))
    assert np.array_equal(mirror(image), mirror(PIXELS))
    assert to_image(image) is image and np.array_equal(to_image(PIXELS), PIXELS)


AUGMENT = AugmentSpec(crop_scale=(0.4, 1), flip=0.5, colour_jitter=(0.4, 0.4, 0.4, 0.1), grey=0.2, randaugment=(2, 9))


@pytest.mark.parametrize("resizer", ["pillow", "cykooz"])
@pytest.mark.parametrize("augment", [AugmentSpec(), AugmentSpec(flip=0.5), AUGMENT])
def test_the_form_does_not_show_in_the_pixels(resizer, augment):
    spec = DataSpec(image_size=24, augment=augment, decode=DecodeSpec(resizer=resizer))
    for position in range(12):
        pictures = [augmented(prepare(form, spec), spec, generator(0, position, "augment")) for form in (PIXELS, Image.fromarray(PIXELS))]
        assert np.array_equal(*pictures) and np.asarray(pictures[0]).shape == (24, 24, 3)


def test_the_source_is_left_as_it_is():
    pixels = PIXELS.copy()
    pixels.flags.writeable = False
    for mode in ("shortest", "squash"):
        evaluation(pixels, size=16, resize=mode, resizer="cykooz")
        evaluation(pixels, size=16, resize=mode)
