"""The evaluation transform gives the pixels of open_clip's, for every size."""

import os

import numpy as np
import pytest
from PIL import Image

from diptych.data.transforms import evaluation

if os.environ.get("DIPTYCH_PARITY") != "1":
    pytest.skip("DIPTYCH_PARITY is not 1", allow_module_level=True)
open_clip = pytest.importorskip("open_clip", reason="open_clip is not installed")


@pytest.mark.parametrize("resize", ["shortest", "squash"])
@pytest.mark.parametrize("size", [31, 32, 224])
def test_evaluation_pixels(resize, size):
    transform = open_clip.image_transform(size, is_train=False, mean=(0, 0, 0), std=(1, 1, 1), resize_mode=resize)
    random = np.random.default_rng(size)
    for _ in range(30):
        height, width = random.integers(10, 500, 2)
        image = Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
        theirs = (transform(image).numpy() * 255).round().astype(np.uint8).transpose(1, 2, 0)
        assert np.array_equal(np.asarray(evaluation(image, size=size, resize=resize)), theirs), (width, height)
