"""Sizes by schedule, and images as sequences of patches."""

import dataclasses
import itertools

import numpy as np
import pytest
from PIL import Image

from diptych.data.bad import BadSample
from diptych.data.image_sizes import largest_side, size_at
from diptych.data.order import generator
from diptych.data.patches import fit_patches, patch_grid, to_patches
from diptych.data.sized_images import sized_row
from diptych.data.spec import AugmentSpec, DataSpec, SizeScheduleSpec
from diptych.data.transforms import evaluated, needed_side, prepare

SQUARES = SizeScheduleSpec(sizes=(16, 32, 48), patch_size=8)
SEQUENCES = SizeScheduleSpec(seq_lens=(4, 12, 30), patch_size=8)
WRITTEN_DOWN = [32, 48, 48, 16, 48, 48, 16, 16]


def noise(width, height):
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_a_window_of_steps_has_one_size():
    schedule = dataclasses.replace(SQUARES, window=10)
    sizes = [size_at(schedule, seed=3, step=step, full=64) for step in range(300)]
    windows = [set(sizes[at : at + 10]) for at in range(0, 300, 10)]
    assert all(len(window) == 1 for window in windows)
    assert set.union(*windows) == {16, 32, 48}


def test_the_size_asks_seed_and_step_alone():
    # written down: a run that is resumed by another version must see the same sizes
    assert [size_at(SQUARES, seed=0, step=step, full=64) for step in range(8)] == WRITTEN_DOWN
    assert [size_at(SEQUENCES, seed=0, step=step, full=64) for step in range(8)] == [{16: 4, 32: 12, 48: 30}[size] for size in WRITTEN_DOWN]
    assert [size_at(SQUARES, seed=1, step=step, full=64) for step in range(8)] != WRITTEN_DOWN


def test_sizes_are_drawn_evenly():
    _, counts = np.unique([size_at(SQUARES, seed=0, step=step, full=64) for step in range(6000)], return_counts=True)
    assert np.abs(counts / 2000 - 1).max() < 0.06


def best_grid(width, height, patch_size, seq_len):
    """By trying all: of the grids that some scale gives and that fit, the one with most patches."""
    edges = {side / patch_size / count for side in (width, height) for count in range(1, seq_len + 1)}
    grids = {
        (max(1, int(np.ceil(round(height / patch_size / e, 9)))), max(1, int(np.ceil(round(width / patch_size / e, 9))))) for e in edges
    }
    return max((grid for grid in grids if grid[0] * grid[1] <= seq_len), key=lambda grid: grid[0] * grid[1])


@pytest.mark.parametrize("size", [(64, 64), (100, 37), (37, 100), (500, 375), (1000, 10), (8, 8), (1, 1), (333, 334)])
@pytest.mark.parametrize("seq_len", [1, 4, 60, 256])
def test_the_grid_is_the_largest_that_keeps_the_aspect(size, seq_len):
    rows, columns = patch_grid(size, patch_size=16, seq_len=seq_len)
    assert 1 <= rows * columns <= seq_len
    assert rows * columns == np.prod(best_grid(*size, 16, seq_len)) or size == (1, 1)  # at most 100 times larger
    scale = min(columns / size[0], rows / size[1])
    assert rows == max(1, np.ceil(round(scale * size[1], 6))) or columns == max(1, np.ceil(round(scale * size[0], 6)))


def test_patches_put_together_again_are_the_image():
    image = fit_patches(noise(90, 50), patch_size=8, seq_len=30)
    found = to_patches(image, patch_size=8, seq_len=30)
    count = found.mask.sum()
    assert count == (image.width // 8) * (image.height // 8) <= 30 and found.mask[:count].all()
    again = np.zeros_like(np.asarray(image))
    for pixels, (y, x) in zip(found.pixels[found.mask], found.yx[found.mask]):
        again[y * 8 : y * 8 + 8, x * 8 : x * 8 + 8] = pixels.reshape(8, 8, 3)
    assert np.array_equal(again, image)
    assert not found.pixels[count:].any() and not found.yx[count:].any()
    assert (found.pixels.dtype, found.yx.dtype, found.mask.dtype) == (np.uint8, np.int32, bool)


@pytest.mark.parametrize("size", [16, 32, 48])
def test_a_square_row_is_evaluations_at_that_size(size):
    spec = DataSpec(image_size=32, size_schedule=SQUARES)
    image = noise(90, 60)
    row = sized_row(prepare(image, spec), spec, generator(0, 0, "augment"), schedule=SQUARES, size=size)
    assert row.keys() == {"image"}
    assert np.array_equal(row["image"], evaluated(image, dataclasses.replace(spec, image_size=size)))


@pytest.mark.parametrize("schedule", [SQUARES, SEQUENCES])
def test_rows_of_a_step_stack_to_a_batch_that_positions_decide(schedule):
    augment = AugmentSpec(crop_scale=(0.4, 1.0), crop_ratio=(0.5, 2.0), flip=0.5, grey=0.2)
    spec = DataSpec(image_size=32, augment=augment, size_schedule=schedule)
    images = [prepare(noise(40 + 9 * at, 60), spec) for at in range(6)]
    for size in schedule.sizes or schedule.seq_lens:

        def row(at, size=size):
            return sized_row(images[at], spec, generator(0, at, "augment"), schedule=schedule, size=size)

        batch = [row(at) for at in range(6)]
        assert len({tuple((name, array.shape) for name, array in found.items()) for found in batch}) == 1
        for found, again in zip(batch, map(row, range(6))):
            assert all(np.array_equal(found[name], again[name]) for name in found)
        assert all(not np.array_equal(*pair) for pair in itertools.combinations([next(iter(found.values())) for found in batch], 2))


def test_a_crop_of_a_sequence_keeps_its_own_aspect():
    spec = DataSpec(size_schedule=SEQUENCES, augment=AugmentSpec(crop_scale=(0.2, 0.2), crop_ratio=(4.0, 4.0)))
    row = sized_row(noise(200, 200), spec, generator(0, 0, "augment"), schedule=SEQUENCES, size=30)
    rows, columns = row["patch_yx"].max(axis=0) + 1
    assert (rows, columns) == patch_grid((179, 45), patch_size=8, seq_len=30)


@pytest.mark.parametrize("settings", [{}, {"preset": "imagenet"}])
def test_prepare_judges_by_the_largest_size(settings):
    spec = DataSpec(image_size=16, size_schedule=SQUARES, **settings)
    longest = (1 << 26) // (55 if settings else 48) ** 2  # at 48 pixels, which imagenet cuts from 55
    good, bad = (Image.new("RGB", (length, 1)) for length in (longest * 9 // 10, longest * 11 // 10))
    for size in SQUARES.sizes:
        assert sized_row(prepare(good, spec), spec, generator(0, 0, "augment"), schedule=SQUARES, size=size)["image"].shape[0] == size
    with pytest.raises(BadSample, match="too elongated"):
        prepare(bad, spec)
    for other in (dataclasses.replace(spec, size_schedule=SEQUENCES), dataclasses.replace(spec, resize="squash", preset=None)):
        assert prepare(bad, other) is bad  # these have room for it


def test_a_scaled_decode_leaves_twice_of_the_largest():
    assert largest_side(SQUARES, full=64) == 48 and largest_side(SEQUENCES, full=64) == 48
    assert needed_side(DataSpec(image_size=32, size_schedule=SQUARES)) == 96
