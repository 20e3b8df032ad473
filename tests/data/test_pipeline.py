"""The training stream: the same batches for any hosts, threads, cache and start."""

import numpy as np
import pytest

from diptych.data.decode import decode
from diptych.data.spec import AugmentSpec
from diptych.data.transforms import evaluation

BATCH, LENGTH = 8, 16


def test_shapes_and_types(batches, shards):
    (batch,) = batches(shards(), 1, slots=[1, 2, 6])
    assert {name: (value.shape, value.dtype) for name, value in batch.items()} == {
        "image": ((3, 16, 16, 3), np.uint8),
        "text": ((3, LENGTH), np.int32),
        "slot": ((3,), np.int32),
        "bad": ((3,), np.int32),
    }
    assert batch["slot"].tolist() == [1, 2, 6]
    assert all(value.flags.writeable and value.flags.c_contiguous for value in batch.values())


def test_each_epoch_holds_every_caption_once(batches, shards, words, sample_members):
    rows = np.concatenate([batch["text"] for batch in batches(shards(), 10)])
    expected = words([sample_members(number)["txt"].decode() for number in range(40)], LENGTH)
    for epoch in (rows[:40], rows[40:]):
        assert sorted(map(tuple, epoch)) == sorted(map(tuple, expected))
    assert not np.array_equal(rows[:40], rows[40:])


def test_image_and_caption_are_of_the_same_sample(make_stream, shards, words, sample_members):
    stream = make_stream(shards(), resize_first=None, augment=AugmentSpec())
    batch = next(stream)
    stream.close()
    for row in range(BATCH):
        members = sample_members(stream.order(row).sample)
        assert np.array_equal(batch["image"][row], evaluation(decode(members["png"]), size=16, resize="shortest"))
        assert np.array_equal(batch["text"][row], words([members["txt"].decode()], LENGTH)[0])


@pytest.mark.parametrize("slots", [[[0, 1], [2, 3], [4, 5], [6, 7]], [[0, 3, 5], [1, 2, 4, 6, 7]], [[slot] for slot in range(8)]])
def test_hosts_together_see_the_batches_of_one(batches, shards, slots, assert_same, global_batches):
    whole = batches(shards(), 7)
    assert_same(global_batches(shards(), 7, slots), whole)


@pytest.mark.parametrize("changes", [{"threads": 1}, {"threads": 5}, {"cache_mb": 1}, {"cache_mb": 1, "threads": 4}])
def test_threads_and_cache_change_nothing(batches, shards, changes, assert_same):
    assert_same(batches(shards(), 12, **changes), batches(shards(), 12))


@pytest.mark.parametrize("step", [1, 3, 5, 11])
def test_resumed_stream_goes_on_bitwise(batches, shards, step, assert_same):
    assert_same(batches(shards(), 3, start=step * BATCH), batches(shards(), step + 3)[step:])


def test_start_need_not_be_a_multiple_of_the_batch(batches, shards):
    flat = np.concatenate([batch["image"] for batch in batches(shards(), 3)])
    later = np.concatenate([batch["image"] for batch in batches(shards(), 2, start=5)])
    assert np.array_equal(flat[5 : 5 + 2 * BATCH], later)


def test_epochs_and_seeds_draw_other_crops(batches, shards):
    patterns = shards(count=8)
    one, two = batches(patterns, 2, resize_first=64)
    (other,) = batches(patterns, 1, resize_first=64, seed=1)
    for batch in (two, other):
        assert not {image.tobytes() for image in one["image"]} & {image.tobytes() for image in batch["image"]}


def test_each_position_has_a_crop_of_its_own(batches, shards):
    images = [image.tobytes() for batch in batches(shards(count=1), 12, resize_first=800) for image in batch["image"]]
    assert len(set(images)) == len(images)


def test_positions_far_away(batches, shards, assert_same):
    assert_same(batches(shards(), 2, start=10**12), batches(shards(), 2, start=10**12, threads=1))


def test_text_key_of_json(batches, shards, words):
    rows = np.concatenate([batch["text"] for batch in batches(shards(), 5, text_key="json:name")])
    assert sorted(map(tuple, rows)) == sorted(map(tuple, words([f"n{number}" for number in range(40)], LENGTH)))
