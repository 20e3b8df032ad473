"""Bad samples in the training stream: replaced by position, counted, named, and too many of them refused."""

import logging
import os

import numpy as np
import pytest

from diptych import UserError
from diptych.data.order import Order

BATCH = 8
BROKEN = {3: {"png": b"no image"}, 11: {"txt": None}, 12: {"txt": b"\xff\xfe"}, 20: {"png": None}}


def test_bad_samples_are_replaced_by_position(batches, shards, assert_same, global_batches):
    whole = batches(shards(bad=BROKEN), 10)
    assert_same(global_batches(shards(bad=BROKEN), 10, ([0, 1, 2], [3, 4], [5, 6, 7])), whole)
    assert_same(batches(shards(bad=BROKEN), 3, start=3 * BATCH, threads=4), whole[3:6])
    assert_same(batches(shards(bad=BROKEN), 10, cache_mb=4), whole)


def test_good_samples_stay_where_bad_ones_are_replaced(batches, shards):
    good = np.concatenate([batch["image"] for batch in batches(shards(), 5)])
    seen = np.concatenate([batch["image"] for batch in batches(shards(bad=BROKEN), 5)])
    changed = [row for row in range(40) if not np.array_equal(good[row], seen[row])]
    assert set(Order(0, 40).many(0, 40)[changed].tolist()) == set(BROKEN)


def test_bad_samples_are_counted_and_named_once(shards, caplog, make_stream):
    stream = make_stream(shards(bad=BROKEN), threads=1)
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


def test_too_many_bad_samples_stop_the_run(shards, make_stream):
    stream = make_stream(shards(bad=BROKEN), max_bad_fraction=0.05, cache_mb=8)
    with pytest.raises(UserError, match=r"data.max_bad_fraction = 0.05 is exceeded: .*, most in .*s-0.tar \(\d+\).*s-1.tar"):
        for _ in range(1000 // BATCH + 10):
            next(stream)
    assert stream.bad.draws >= 1000


def test_within_the_fraction_the_run_goes_on(shards, make_stream):
    stream = make_stream(shards(bad=BROKEN), max_bad_fraction=0.15, cache_mb=8)
    for _ in range(2000 // BATCH):
        next(stream)
    stream.close()


@pytest.mark.parametrize("count", [1, 3, 12])
def test_nothing_but_bad_samples(shards, count, make_stream):
    stream = make_stream(shards(bad={number: {"txt": None} for number in range(40)}, count=count))
    with pytest.raises(UserError, match=r"one and all its substitutes cannot be used, most in .*; accepted are samples with an image"):
        next(stream)


def test_io_errors_reach_the_caller(tmp_path, shards, make_stream):
    stream = make_stream(shards())
    for shard in range(3):
        os.truncate(tmp_path / f"s-{shard}.tar", 0)
    with pytest.raises(OSError, match="has changed since it was indexed"):
        for _ in range(10):
            next(stream)
