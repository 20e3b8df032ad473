"""The two views of an image that a self-supervised term compares: what they are made of, and that nothing but the position decides them."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from diptych.data.order import generator
from diptych.data.pipeline import EvalSet
from diptych.data.spec import AugmentSpec, DataSpec, SizeScheduleSpec, ViewsSpec
from diptych.data.transforms import augmented

PLAIN = AugmentSpec()
VIEWS = ViewsSpec()


def test_blur_has_its_probability_and_strength():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8))
    spec = DataSpec(image_size=12, augment=AugmentSpec(blur=0.3, blur_sigma=(1.0, 1.0)))
    seen = [np.asarray(augmented(image, spec, generator(0, at, "augment"))) for at in range(1000)]
    changed = [not np.array_equal(picture, image) for picture in seen]
    assert abs(np.mean(changed) - 0.3) < 0.05
    assert np.array_equal(seen[changed.index(True)], image.filter(ImageFilter.GaussianBlur(1.0)))


@pytest.mark.parametrize("augment", [PLAIN, AugmentSpec(crop_scale=(0.4, 1.0), flip=0.5)], ids=["plain", "cropped"])
def test_views_change_nothing_else_of_a_batch(shards, batches, augment):
    patterns = shards()
    without, having = batches(patterns, 2, augment=augment), batches(patterns, 2, augment=augment, views=VIEWS)
    for plain, batch in zip(without, having):
        assert batch["image_views"].shape == (8, 2, 16, 16, 3) and batch["image_views"].dtype == np.uint8
        assert plain.keys() == batch.keys() - {"image_views"}
        assert all(np.array_equal(plain[name], batch[name]) for name in plain)


def test_the_position_alone_decides_the_views(shards, batches, global_batches, assert_same):
    patterns = shards()
    found = batches(patterns, 3, views=VIEWS)
    assert_same(found, global_batches(patterns, 3, [range(0, 8, 2), range(1, 8, 2)], views=VIEWS))
    assert_same(found[1:], batches(patterns, 2, start=8, views=VIEWS))
    pictures = {view.tobytes() for batch in found for views in batch["image_views"] for view in views}
    assert len(pictures) == 3 * 8 * 2


def test_views_have_the_size_of_the_step(shards, batches):
    sizes = SizeScheduleSpec(sizes=(8, 24), patch_size=4)
    found = batches(shards(), 4, views=VIEWS, size_schedule=sizes)
    assert {batch["image"].shape[1] for batch in found} == {8, 24}
    assert all(batch["image_views"].shape[2:4] == batch["image"].shape[1:3] for batch in found)


def test_views_are_cropped_from_the_image_before_its_own_resize(shards, batches):
    narrow = dataclasses.replace(VIEWS, crop_scale=(0.02, 0.03), crop_ratio=(1.0, 1.0), colour_jitter=(0, 0, 0, 0), grey=0.0, blur=0.0)
    batch = batches(shards(), 2, augment=PLAIN, resize_first=None, image_size=4, views=narrow)[0]
    spread = {name: batch[name].std(axis=(-3, -2)).mean() for name in ("image", "image_views")}
    assert spread["image"] < 25 < 40 < spread["image_views"], spread  # noise: averaged over dozens of pixels, and nearly as it is


def test_an_image_too_long_to_resize_is_replaced(shards, batches):
    file = io.BytesIO()
    Image.new("RGB", (9000, 2)).save(file, "png")
    options = {"augment": PLAIN, "resize_first": None, "image_size": 128}
    found = batches(shards(bad={3: {"png": file.getvalue()}}), 5, views=VIEWS, **options)
    assert sum(batch["bad"].sum() for batch in found) == 1


def test_an_evaluation_sees_the_same_two_views_each_time(shards, spec):
    samples = EvalSet(shards(), spec=spec, setting="data.train")
    views = samples.views(0, 6, views=VIEWS)
    assert views.shape == (6, 2, 16, 16, 3) and samples.views(3, 3, views=VIEWS).shape == (0, 2, 16, 16, 3)
    assert np.array_equal(views[2:5], samples.views(2, 5, views=VIEWS))
    assert not np.array_equal(views[:, 0], views[:, 1])
