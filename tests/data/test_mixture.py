"""Mixtures: exact shares, weights that change, and each part's own order unbroken by either."""

import itertools
import pickle

import numpy as np
import pytest

from diptych import UserError
from diptych.data.block_order import BlockShuffle
from diptych.data.mixture import PERIOD, Mixture, Segment, quotas
from diptych.data.order import ExactShuffle

STREAMS = 4
SIZES = {"a": [50] * 30, "b": [20] * 11, "c": [300]}
SEGMENTS = [
    Segment(0, {"a": 0.7, "b": 0.2, "c": 0.1}),
    Segment(STREAMS * 1234, {"a": 1, "b": 3, "c": 0}),
    Segment(STREAMS * 1250, {"a": 1, "b": 1, "c": 1}),
    Segment(STREAMS * 15_000, {"a": 1, "b": 1, "c": 0}),
]


def parts(streams=STREAMS):
    if streams == 1:
        return {name: ExactShuffle(np.array(counts), key=len(name)) for name, counts in SIZES.items()}
    return {
        name: BlockShuffle(np.array(counts), streams=streams, block_samples=40, key=number)
        for number, (name, counts) in enumerate(SIZES.items())
    }


def mixture(segments=SEGMENTS, streams=STREAMS):
    return Mixture(parts(streams), streams=streams, segments=segments, key=3)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"x": 3}, [PERIOD]),
        ({"x": 1, "y": 1, "z": 1}, [3334, 3333, 3333]),
        ({"y": 0.001, "x": 0.999, "z": 0}, [9990, 10, 0]),
        ({"x": 1e-9, "y": 1e-9}, [5000, 5000]),
    ],
)
def test_quotas_are_shares_of_a_period_by_name(weights, expected):
    assert quotas(weights) == expected


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"x": -1, "y": 2}, "accepted are numbers from 0"),
        ({"x": 0, "y": 0}, "at least one of them above 0"),
        ({"x": 1e-6, "y": 1}, r"data.mixture.x.weight = 1e-06 is less than 1/10000 of all; accepted is 0"),
    ],
)
def test_weights_that_cannot_be_drawn(weights, message):
    with pytest.raises(UserError, match=message):
        quotas(weights)


@pytest.mark.parametrize("stream", range(STREAMS))
def test_shares_are_exact_in_every_period_of_every_stream(stream):
    order = mixture(SEGMENTS[:1])
    for period in (0, 7):
        drawn = [order((period * PERIOD + place) * STREAMS + stream).source for place in range(PERIOD)]
        assert np.bincount(drawn).tolist() == [7000, 2000, 1000]
        inner = np.array([np.bincount(drawn[at : at + 100], minlength=3) for at in range(0, PERIOD, 100)])
        assert (abs(inner - [70, 20, 10]) <= 2).all()


def test_streams_and_periods_are_rotated():
    order = mixture(SEGMENTS[:1])
    heads = {
        tuple(order((period * PERIOD + place) * STREAMS + stream).source for place in range(40))
        for stream in range(4)
        for period in range(3)
    }
    assert len(heads) > 6


@pytest.mark.parametrize("stream", [0, 3])
def test_each_part_goes_on_where_it_was_when_weights_change(stream):
    order, counts = mixture(), [0, 0, 0]
    own = [parts()[name] for name in sorted(SIZES)]
    for place in range(2600):
        assert order.drawn(stream, place) == tuple(counts)
        drawn = order(place * STREAMS + stream)
        assert drawn.sample == own[drawn.source](stream, counts[drawn.source])
        counts[drawn.source] += 1
    assert counts[2] > 500


def test_weights_of_later_segments_do_not_touch_earlier_positions():
    early, late = mixture(SEGMENTS[:2]), mixture(SEGMENTS)
    assert [early(position) for position in range(STREAMS * 1250)] == [late(position) for position in range(STREAMS * 1250)]


@pytest.mark.parametrize("streams", [1, STREAMS])
@pytest.mark.parametrize("start", [0, STREAMS * 1200])
def test_uses_cover_every_draw_in_order_of_first_use(streams, start):
    order = mixture(SEGMENTS[:3], streams)
    firsts = [np.concatenate([[0], np.cumsum(SIZES[name])]) for name in sorted(SIZES)]
    mine = range(streams)[-2:]
    uses = list(itertools.takewhile(lambda use: use.first < start + 6000, order.uses(mine, start)))
    assert uses == sorted(uses, key=lambda use: use.first)
    for position in range(start, start + 4000):
        if position % streams in mine:
            drawn = order(position)
            shard = int(np.searchsorted(firsts[drawn.source], drawn.sample, side="right")) - 1
            assert any(use.first <= position <= use.last for use in uses if (use.source, use.shard) == (drawn.source, shard))


def test_a_part_that_is_drawn_no_more_has_no_more_uses():
    order = mixture(SEGMENTS[:2])
    last = max(use.last for use in itertools.islice(order.uses([0], 0), 3000) if use.source == 2)
    assert order(last).source == 2
    assert not any(order(position).source == 2 for position in range(last + STREAMS, last + 2000 * STREAMS, STREAMS))


def test_substitutes_are_of_the_same_part_and_block():
    order = mixture()
    for position in (17, 90_000):
        drawn, found = order(position), list(itertools.islice(order.substitutes(position), 30))
        assert {other.source for other in found} == {drawn.source}
        assert len({drawn, *found}) == 31


def test_it_goes_to_other_processes():
    order = mixture()
    again = pickle.loads(pickle.dumps(order))
    assert [again(position) for position in range(0, 90_000, 31)] == [order(position) for position in range(0, 90_000, 31)]
