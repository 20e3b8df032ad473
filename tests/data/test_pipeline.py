import dataclasses
import json
import logging
import os

import numpy as np
import pytest

from diptych import UserError
from diptych.data.decode import decode
from diptych.data.index import index_shards
from diptych.data.lengths import caption_lengths
from diptych.data.order import Order
from diptych.data.pipeline import TrainStream, check_state, data_state
from diptych.data.spec import AugmentSpec, DataSpec
from diptych.data.token_rows import row_lengths
from diptych.data.transforms import evaluation

BATCH, LENGTH = 8, 16
SPEC = DataSpec(image_size=16, resize_first=20, augment=AugmentSpec(crop_scale=(0.4, 1.0), flip=0.5))


@pytest.fixture
def batches(words):
    """batches(patterns, n, slots=..., start=..., spec=..., seed=...): the first n batches of a stream."""

    def take(patterns, count, *, slots=range(BATCH), start=0, spec=SPEC, seed=0):
        stream = make_stream(patterns, words, slots=slots, start=start, spec=spec, seed=seed)
        try:
            return [next(stream) for _ in range(count)]
        finally:
            stream.close()

    return take


def make_stream(patterns, words, *, slots=range(BATCH), start=0, spec=SPEC, seed=0):
    index = index_shards(patterns, setting="data.train")
    slots = np.asarray(slots)
    return TrainStream(spec, index=index, tokenizer=words, context_length=LENGTH, batch_size=BATCH, seed=seed, slots=slots, start=start)


def joined(parts):
    """Batches of several hosts -> global batches by slot."""
    whole = []
    for rows in zip(*parts, strict=True):
        joined = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        by_slot = np.argsort(joined["slot"])
        whole.append({name: value[by_slot] for name, value in joined.items()})
    return whole


def assert_same(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name].dtype == b[name].dtype and np.array_equal(a[name], b[name]), name


def test_shapes_and_types(batches, shards):
    (batch,) = batches(shards(), 1, slots=[1, 2, 6])
    assert {name: (value.shape, value.dtype) for name, value in batch.items()} == {
        "image": ((3, 16, 16, 3), np.uint8),
        "text": ((3, LENGTH), np.int32),
        "slot": ((3,), np.int32),
    }
    assert batch["slot"].tolist() == [1, 2, 6]
    assert all(value.flags.writeable and value.flags.c_contiguous for value in batch.values())


def test_each_epoch_holds_every_caption_once(batches, shards, words, sample_members):
    rows = np.concatenate([batch["text"] for batch in batches(shards(), 10)])
    expected = words([sample_members(number)["txt"].decode() for number in range(40)], LENGTH)
    for epoch in (rows[:40], rows[40:]):
        assert sorted(map(tuple, epoch)) == sorted(map(tuple, expected))
    assert not np.array_equal(rows[:40], rows[40:])


def test_image_and_caption_are_of_the_same_sample(batches, shards, words, sample_members):
    spec = DataSpec(image_size=16)
    batch = batches(shards(), 1, spec=spec)[0]
    for row, number in enumerate(Order(0, 40).many(0, BATCH).tolist()):
        members = sample_members(number)
        assert np.array_equal(batch["image"][row], evaluation(decode(members["png"]), size=16, resize="shortest"))
        assert np.array_equal(batch["text"][row], words([members["txt"].decode()], LENGTH)[0])


@pytest.mark.parametrize("slots", [[[0, 1], [2, 3], [4, 5], [6, 7]], [[0, 3, 5], [1, 2, 4, 6, 7]], [[slot] for slot in range(8)]])
def test_hosts_together_see_the_batches_of_one(batches, shards, slots):
    whole = batches(shards(), 7)
    assert_same(joined([batches(shards(), 7, slots=part) for part in slots]), whole)


@pytest.mark.parametrize("changes", [{"threads": 1}, {"threads": 5}, {"cache_mb": 1}, {"cache_mb": 1, "threads": 4}])
def test_threads_and_cache_change_nothing(batches, shards, changes):
    assert_same(batches(shards(), 12, spec=dataclasses.replace(SPEC, **changes)), batches(shards(), 12))


@pytest.mark.parametrize("step", [1, 3, 5, 11])
def test_resumed_stream_goes_on_bitwise(batches, shards, step):
    assert_same(batches(shards(), 3, start=step * BATCH), batches(shards(), step + 3)[step:])


def test_start_need_not_be_a_multiple_of_the_batch(batches, shards):
    flat = np.concatenate([batch["image"] for batch in batches(shards(), 3)])
    later = np.concatenate([batch["image"] for batch in batches(shards(), 2, start=5)])
    assert np.array_equal(flat[5 : 5 + 2 * BATCH], later)


def test_epochs_and_seeds_draw_other_crops(batches, shards):
    spec, patterns = dataclasses.replace(SPEC, resize_first=64), shards(count=8)
    one, two = ([batch] for batch in batches(patterns, 2, spec=spec))
    other = batches(patterns, 1, spec=spec, seed=1)
    for left, right in ((one, two), (one, other)):
        images = {image.tobytes() for batch in left for image in batch["image"]}
        assert not images & {image.tobytes() for batch in right for image in batch["image"]}


def test_positions_far_away(batches, shards):
    assert_same(batches(shards(), 2, start=10**12), batches(shards(), 2, start=10**12, spec=dataclasses.replace(SPEC, threads=1)))


BROKEN = {3: {"png": b"no image"}, 11: {"txt": None}, 12: {"txt": b"\xff\xfe"}, 20: {"png": None}}


def test_bad_samples_are_replaced_by_position(batches, shards, words, caplog):
    whole = batches(shards(bad=BROKEN), 10)
    assert_same(joined([batches(shards(bad=BROKEN), 10, slots=part) for part in ([0, 1, 2], [3, 4], [5, 6, 7])]), whole)
    assert_same(batches(shards(bad=BROKEN), 3, start=3 * BATCH, spec=dataclasses.replace(SPEC, threads=4)), whole[3:6])
    assert_same(batches(shards(bad=BROKEN), 10, spec=dataclasses.replace(SPEC, cache_mb=4)), whole)


def test_good_samples_stay_where_bad_ones_are_replaced(batches, shards):
    good = np.concatenate([batch["image"] for batch in batches(shards(), 5)])
    seen = np.concatenate([batch["image"] for batch in batches(shards(bad=BROKEN), 5)])
    changed = [row for row in range(40) if not np.array_equal(good[row], seen[row])]
    assert Order(0, 40).many(0, 40)[changed].tolist() and set(Order(0, 40).many(0, 40)[changed].tolist()) == set(BROKEN)


def test_bad_samples_are_counted_and_named_once(shards, words, caplog):
    stream = make_stream(shards(bad=BROKEN), words, spec=dataclasses.replace(SPEC, threads=1))
    with caplog.at_level(logging.WARNING, logger="diptych.data"):
        for _ in range(15):
            next(stream)
    stream.close()
    assert {(os.path.basename(shard), key): reason for shard, key, reason in stream.bad.seen} == {
        ("s-0.tar", "0003"): "image cannot be decoded (UnidentifiedImageError)",
        ("s-0.tar", "0011"): "no member txt",
        ("s-0.tar", "0012"): "txt is not UTF-8 text",
        ("s-1.tar", "0020"): "no image among json, txt",
    }
    assert stream.bad.count == sum(stream.bad.seen.values()) >= 12
    assert stream.bad.draws >= 15 * BATCH + stream.bad.count
    assert len(caplog.records) == 4
    assert any("0003 in" in record.message and "s-0.tar: image cannot be decoded" in record.message for record in caplog.records)


def test_too_many_bad_samples_stop_the_run(shards, words):
    stream = make_stream(shards(bad=BROKEN), words, spec=dataclasses.replace(SPEC, max_bad_fraction=0.05, cache_mb=8))
    with pytest.raises(UserError, match=r"data.max_bad_fraction = 0.05 is exceeded: .*, most in .*s-0.tar \(\d+\).*s-1.tar"):
        for _ in range(1000 // BATCH + 10):
            next(stream)
    assert stream.bad.draws >= 1000


def test_within_the_fraction_the_run_goes_on(shards, words):
    stream = make_stream(shards(bad=BROKEN), words, spec=dataclasses.replace(SPEC, max_bad_fraction=0.15, cache_mb=8))
    for _ in range(2000 // BATCH):
        next(stream)
    stream.close()


@pytest.mark.parametrize("count", [1, 3, 12])
def test_nothing_but_bad_samples(shards, words, count):
    stream = make_stream(shards(bad={number: {"txt": None} for number in range(40)}, count=count), words)
    with pytest.raises(UserError, match=r"one and all its substitutes cannot be used, most in .*; accepted are samples with an image"):
        next(stream)


def test_io_errors_reach_the_caller(tmp_path, shards, words):
    stream = make_stream(shards(), words)
    for shard in range(3):
        os.truncate(tmp_path / f"s-{shard}.tar", 0)
    with pytest.raises(OSError, match="has changed since it was indexed"):
        for _ in range(10):
            next(stream)


def test_text_key_of_json(batches, shards, words):
    rows = np.concatenate([batch["text"] for batch in batches(shards(), 5, spec=dataclasses.replace(SPEC, text_key="json:name"))])
    assert sorted(map(tuple, rows)) == sorted(map(tuple, words([f"n{number}" for number in range(40)], LENGTH)))


LENGTHS = dataclasses.replace(SPEC, text_lengths=(4, 6, 8, LENGTH), threads=3)
SPLITS = ([0, 3], [1, 2, 4], [5, 6, 7])


@pytest.mark.parametrize("bad", [{}, BROKEN])
def test_hosts_agree_on_the_length_without_talking(batches, shards, words, bad):
    patterns = shards(bad=bad)
    parts = [batches(patterns, 25, slots=part, spec=LENGTHS) for part in SPLITS]
    widths = [{batch["text"].shape[1] for batch in step} for step in zip(*parts, strict=True)]
    assert all(len(width) == 1 for width in widths)
    whole = batches(patterns, 25, spec=LENGTHS)
    assert_same(joined(parts), whole)
    for batch in whole:
        assert (row_lengths(batch["text"], eos_id=words.eos_id, pad_id=words.pad_id) <= batch["text"].shape[1]).all()
        assert (batch["text"] == words.eos_id).any(axis=1).all()


def test_length_is_the_smallest_that_holds_the_longest_caption(batches, shards, words):
    short = {number: {"txt": b"a b" if number < 39 else b"a b c d e"} for number in range(40)}
    widths = [batch["text"].shape[1] for batch in batches(shards(bad=short), 5, spec=LENGTHS)]
    assert sorted(widths) == [4, 4, 4, 4, 6]
    full = [batch["text"] for batch in batches(shards(bad=short), 5)]
    for wide, cut in zip(full, batches(shards(bad=short), 5, spec=LENGTHS)):
        assert np.array_equal(wide[:, : cut["text"].shape[1]], cut["text"])


def test_substitutes_keep_the_length_of_the_bad_sample(batches, shards):
    texts = {number: {"txt": b"a b" if number % 2 else b"a b c d e f g h i"} for number in range(40)}
    broken = {number: texts[number] | ({"png": b""} if number in (1, 3, 5, 7) else {}) for number in texts}
    whole, seen = (batches(shards(bad=bad), 20, spec=LENGTHS) for bad in (texts, broken))
    assert [batch["text"].shape for batch in whole] == [batch["text"].shape for batch in seen]


def test_caption_lengths(shards, words):
    index = index_shards(shards(bad={0: {"txt": b"a b c"}, 1: {"txt": None}, 2: {"txt": b"x " * 40}, 3: {"txt": b""}}), setting="x")
    lengths = caption_lengths(index, text_key="txt", tokenizer=words, context_length=LENGTH)
    assert lengths.dtype == np.uint16 and lengths[:4].tolist() == [4, LENGTH, LENGTH, 1]


def state_of(shards, words, *, spec=SPEC, seed=0, context_length=LENGTH, samples=64):
    index = index_shards(shards, setting="data.train")
    return data_state(spec, index=index, tokenizer=words, context_length=context_length, seed=seed, samples=samples)


def test_state_is_small_json_and_the_same_run_goes_on(shards, words):
    state = json.loads(json.dumps(state_of(shards(), words)))
    assert state.keys() == {"version", "samples", "seed", "manifest", "pipeline"} and state["samples"] == 64
    runtime = dataclasses.replace(SPEC, threads=7, cache_mb=3, text_lengths=(8, 16), max_bad_fraction=0.5)
    check_state(state, state_of(shards(), words, spec=runtime, samples=0))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, "seed differs from the checkpoint's"),
        ({"spec": dataclasses.replace(SPEC, image_size=32)}, "data.image_size, resize"),
        ({"spec": dataclasses.replace(SPEC, resize="squash")}, "pipeline was"),
        ({"spec": dataclasses.replace(SPEC, resize_first=None)}, "pipeline was"),
        ({"spec": dataclasses.replace(SPEC, text_key="json:name")}, "pipeline was"),
        ({"spec": dataclasses.replace(SPEC, augment=AugmentSpec(flip=0.5))}, "pipeline was"),
        ({"context_length": 12}, "pipeline was"),
    ],
)
def test_changed_data_is_refused(shards, words, changes, named):
    saved = state_of(shards(), words)
    with pytest.raises(UserError, match=named):
        check_state(saved, state_of(shards(), words, **changes))


def test_changed_shards_are_refused(shards, words):
    saved = state_of(shards(), words)
    with pytest.raises(UserError, match=r"the content of data.train .* differs"):
        check_state(saved, state_of([shards()[0].replace("0..2", "0..1")], words))
    with pytest.raises(UserError, match="version was None, is 1"):
        check_state({}, saved)
