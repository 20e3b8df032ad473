"""Bad samples in the training stream: replaced by position, told of with each batch, and too many of them refused."""

import logging
import os
import tracemalloc

import numpy as np
import pytest

from diptych import UserError
from diptych.data.bad import Bad, BadCounts, BadLog

BATCH = 8
BROKEN = {3: {"png": b"no image"}, 11: {"txt": None}, 12: {"txt": b"\xff\xfe"}, 20: {"png": None}}


def test_bad_samples_are_replaced_by_position(batches, shards, assert_same, global_batches):
    whole = batches(shards(bad=BROKEN), 10)
    assert_same(global_batches(shards(bad=BROKEN), 10, ([0, 1, 2], [3, 4], [5, 6, 7])), whole)
    assert_same(batches(shards(bad=BROKEN), 3, start=3 * BATCH, threads=4), whole[3:6])
    assert_same(batches(shards(bad=BROKEN), 10, cache_mb=4), whole)


def test_good_samples_stay_where_bad_ones_are_replaced(batches, shards, make_stream):
    good = np.concatenate([batch["image"] for batch in batches(shards(), 5)])
    seen = batches(shards(bad=BROKEN), 5)
    images, bad = (np.concatenate([batch[name] for batch in seen]) for name in ("image", "bad"))
    changed = [row for row in range(40) if not np.array_equal(good[row], images[row])]
    stream = make_stream(shards())
    stream.close()
    assert {stream.order(row).sample for row in changed} == set(BROKEN)
    assert np.flatnonzero(bad).tolist() == changed


def test_bad_draws_come_with_the_batch_and_are_logged_once(shards, caplog, make_stream):
    stream = make_stream(shards(bad=BROKEN), threads=1)
    with caplog.at_level(logging.WARNING, logger="diptych.data"):
        seen = [next(stream) for _ in range(15)]
    stream.close()
    counts = stream.bad.take(15 * BATCH)
    assert {os.path.basename(shard): set(reasons) for shard, reasons in counts.items()} == {
        "s-0.tar": {"image cannot be decoded (UnidentifiedImageError)", "no member txt", "txt is not UTF-8 text"},
        "s-1.tar": {"no image among json, txt"},
    }
    assert sum(batch["bad"].sum() for batch in seen) == sum(sum(reasons.values()) for reasons in counts.values()) >= 12
    assert len(caplog.records) == 4
    assert any("0003 in" in record.message and "s-0.tar: image cannot be decoded" in record.message for record in caplog.records)


def test_only_the_counted_slots_are_told_of(shards, make_stream, caplog):
    patterns = shards(bad=BROKEN)
    stream, other = make_stream(patterns, slots=[1, 2, 3, 6], counted=[2, 6]), make_stream(patterns, slots=[2, 6])
    both, one = ([next(draws) for _ in range(15)] for draws in (stream, other))
    stream.close()
    other.close()
    assert sum(batch["bad"].sum() for batch in both) > sum(batch["bad"].sum() for batch in one) > 0
    assert stream.bad.take(15 * BATCH) == other.bad.take(15 * BATCH)


def test_draws_are_taken_once_and_not_before_their_position():
    log = BadLog()
    log.add([Bad(9, "s", "a", "broken"), Bad(5, "t", "b", "none")])
    log.add([])
    log.add([Bad(10, "s", "a", "broken")])
    assert log.take(10) == {"s": {"broken": 1}, "t": {"none": 1}}
    assert log.take(10) == {}
    assert log.take(11) == {"s": {"broken": 1}}


def test_little_is_kept_and_said_of_many_bad_draws(caplog):
    log = BadLog()
    tracemalloc.start()
    for batch in range(3000):
        draws = [Bad(8 * batch + row, f"s{row % 2}", f"{batch}/{row}", "broken") for row in range(8)]
        log.add(draws)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 2_000_000  # most of it the records of the log; all draws are 25 MB with theirs
    assert len(caplog.records) == 1001 and "others are counted" in caplog.records[-1].message
    assert log.take(8 * 2999) == {"s0": {"broken": 4 * 2999}, "s1": {"broken": 4 * 2999}}
    assert log.take(8 * 3000) == {"s0": {"broken": 4}, "s1": {"broken": 4}}


def test_counts_are_judged_after_a_thousand_draws():
    counts = BadCounts()
    counts.add({"s": {"broken": 60}})
    counts.judge(samples=939, max_fraction=0.05)
    counts.judge(samples=1140, max_fraction=0.05)
    with pytest.raises(UserError, match=r"data.max_bad_fraction = 0.05 is exceeded: 60 of 1000 samples were bad, most in s \(60\)"):
        counts.judge(samples=940, max_fraction=0.05)


def test_counts_survive_a_checkpoint():
    counts = BadCounts()
    counts.add({f"s{number:04d}": {"broken": 1 + number % 7, "none": 1} for number in range(1500)})
    again = BadCounts(counts.state())
    assert again.count == counts.count and again.worst() == counts.worst() == "s0006 (8), s0013 (8), s0020 (8)"
    assert len(again.state()["shards"]) == 1000 and again.state() == counts.state()


@pytest.mark.parametrize(("count", "row"), [(1, 1), (3, 3), (12, 12), (130, 100)])
def test_nothing_but_bad_samples(shards, count, row, make_stream):
    stream = make_stream(shards(bad={number: {"txt": None} for number in range(count)}, count=count))
    with pytest.raises(UserError, match=rf"too many bad samples: {row} in a row .*, most in .*; accepted are samples with an image"):
        next(stream)


def test_a_short_stream_finds_good_samples_elsewhere(shards, make_stream):
    stream = make_stream(shards(bad={number: {"txt": None} for number in range(26)}), order="block", streams=8)
    bad = np.concatenate([next(stream)["bad"] for _ in range(5)])
    stream.close()
    assert bad.max() > 4  # more than the rest of its stream


def test_io_errors_reach_the_caller(tmp_path, shards, make_stream):
    stream = make_stream(shards())
    for shard in range(3):
        os.truncate(tmp_path / f"s-{shard}.tar", 0)
    with pytest.raises(OSError, match="has changed since it was indexed"):
        for _ in range(10):
            next(stream)
