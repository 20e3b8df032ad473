"""The settings of images, seen from the training stream's batches."""

import io

import numpy as np
import pytest
from PIL import Image

from diptych.data.spec import AugmentSpec, DecodeSpec, SizeScheduleSpec


def jpeg(number, scale=1):
    random = np.random.default_rng(number)
    coarse = Image.fromarray(random.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    file = io.BytesIO()
    coarse.resize(((90 + number % 7) * scale, 70 * scale), Image.Resampling.BICUBIC).save(file, "jpeg", quality=90)
    return file.getvalue()


@pytest.fixture
def jpegs(shards):
    """The usual shards with JPEGs in place of the PNGs; number 7 is cut short."""
    members = {number: {"png": None, "jpg": jpeg(number)} for number in range(40)}
    members[7]["jpg"] = members[7]["jpg"][:500]
    return shards(bad=members)


@pytest.mark.parametrize(
    ("decode", "mean", "most"),
    [  # levels; 1.5 times what was measured
        (DecodeSpec(resizer="cykooz"), 0.0041, 1),
        (DecodeSpec(backend="simplejpeg"), 2.3, 18),
        (DecodeSpec(backend="simplejpeg", resizer="cykooz"), 2.3, 18),
    ],
)
def test_faster_ways_give_nearly_the_same_batches(decode, mean, most, shards, batches):
    # so large that a crop, whose edges fall on pixels of the scaled image, moves by little
    large = {number: {"png": None, "jpg": jpeg(number, scale=8)} for number in range(40)}
    large[7]["jpg"] = large[7]["jpg"][:500]
    patterns, settings = shards(bad=large), dict(resize_first=None, image_size=64, max_bad_fraction=1.0)
    for fast, slow in zip(batches(patterns, 6, decode=decode, **settings), batches(patterns, 6, **settings)):
        assert np.array_equal(fast["text"], slow["text"]), "the same samples, the bad one replaced alike"
        error = np.abs(fast["image"].astype(int) - slow["image"])
        assert 0 < error.mean() < mean and error.max() <= most


def test_a_preset_reaches_training_and_is_drawn_by_position(jpegs, batches):
    first = batches(jpegs, 3, preset="siglip2", resize_first=None, augment=AugmentSpec(), max_bad_fraction=1.0)
    other = batches(jpegs, 3, preset="imagenet", resize_first=None, augment=AugmentSpec(), max_bad_fraction=1.0)
    assert all(np.array_equal(a["text"], b["text"]) and not np.array_equal(a["image"], b["image"]) for a, b in zip(first, other))


COLOURS = AugmentSpec(crop_scale=(0.4, 1.0), flip=0.5, colour_jitter=(0.4, 0.4, 0.4, 0.1), grey=0.2, randaugment=(2, 9))


def test_augmentation_does_not_ask_threads_or_hosts(jpegs, batches, global_batches, assert_same):
    settings = dict(augment=COLOURS, max_bad_fraction=1.0)
    whole = batches(jpegs, 5, threads=1, **settings)
    assert_same(whole, batches(jpegs, 5, threads=4, **settings))
    assert_same(whole, global_batches(jpegs, 5, [range(0, 4), range(4, 8)], **settings))


def test_augmentation_does_not_ask_worker_processes(jpegs, batches, assert_same):
    settings = dict(augment=COLOURS, max_bad_fraction=1.0)
    assert_same(batches(jpegs, 5, workers=2, **settings), batches(jpegs, 5, workers=0, **settings))


def test_an_image_too_long_for_the_largest_size_is_replaced_and_counted(shards, make_stream):
    line = io.BytesIO()
    Image.new("RGB", (30_000, 1)).save(line, "png")
    patterns = shards(bad={7: {"png": line.getvalue()}})
    schedule = SizeScheduleSpec(sizes=(16, 64), patch_size=16)
    stream = make_stream(patterns, size_schedule=schedule, augment=AugmentSpec(), resize_first=None)
    try:
        assert {next(stream)["image"].shape[1] for _ in range(10)} == {16, 64}
        ((shard, reasons),) = stream.bad.take(80).items()
    finally:
        stream.close()
    assert shard.endswith("s-0.tar") and reasons == {"image of 30000 x 1 pixels is too elongated": 2}


@pytest.mark.parametrize("schedule", [SizeScheduleSpec(sizes=(16, 32), patch_size=16), SizeScheduleSpec(seq_lens=(4, 9), patch_size=8)])
def test_sizes_change_alike_on_all_hosts_and_after_a_restart(schedule, jpegs, batches, global_batches, assert_same):
    settings = dict(augment=COLOURS, size_schedule=schedule, max_bad_fraction=1.0)
    whole = batches(jpegs, 8, **settings)
    assert len({tuple((name, array.shape) for name, array in batch.items()) for batch in whole}) == 2
    assert_same(whole, global_batches(jpegs, 8, [range(0, 4), range(4, 8)], **settings))
    assert_same(whole[3:], batches(jpegs, 5, start=3 * 8, **settings))
