"""The block shuffle: a bijection up to fewer samples than streams, in blocks of shards that are known ahead."""

import itertools
import pickle

import numpy as np
import pytest

from diptych import UserError
from diptych.data.block_order import BlockShuffle

STREAMS = 6
COUNTS = np.random.default_rng(0).integers(0, 60, 50)
FIRST = np.concatenate([[0], np.cumsum(COUNTS)])


def shuffle(counts=COUNTS, *, block_samples=90, key=5, streams=STREAMS):
    return BlockShuffle(counts, streams=streams, block_samples=block_samples, key=key)


def shard_of(sample):
    return int(np.searchsorted(FIRST, sample, side="right")) - 1


@pytest.mark.parametrize("block_samples", [1, 7, 90, 10**9])
@pytest.mark.parametrize("epoch", [0, 1, 10**9])
def test_an_epoch_visits_samples_once_and_drops_fewer_than_streams(block_samples, epoch):
    order = shuffle(block_samples=block_samples)
    seen = [order(stream, epoch * order.length + place) for stream in range(STREAMS) for place in range(order.length)]
    assert len(set(seen)) == len(seen) > COUNTS.sum() - STREAMS
    assert min(seen) >= 0 and max(seen) < COUNTS.sum()


def test_epochs_streams_and_keys_have_orders_of_their_own():
    one = shuffle()
    draws = [
        [order(stream, place) for place in range(start, start + one.length)]
        for order, stream, start in ((one, 0, 0), (one, 1, 0), (one, 0, one.length), (shuffle(key=6), 0, 0))
    ]
    for left, right in itertools.combinations(draws, 2):
        assert np.mean(np.array(left) == np.array(right)) < 0.03


@pytest.mark.parametrize("stream", [0, 3, 5])
def test_blocks_name_the_shards_that_are_read(stream):
    order = shuffle()
    place = order.length + 17
    blocks = list(itertools.takewhile(lambda block: block.first < 3 * order.length, order.blocks(stream, place)))
    assert blocks[0].first <= place <= blocks[0].last
    assert all(before.last + 1 == after.first for before, after in itertools.pairwise(blocks))
    assert any(block.last + 1 == 2 * order.length for block in blocks)
    for block in blocks:
        read = {shard_of(order(stream, place)) for place in range(block.first, block.last + 1)}
        assert read == set(block.shards.tolist()) and len(block.shards) == len(read)


def test_streams_cross_block_edges_at_places_of_their_own():
    order = shuffle(np.full(100, 60), block_samples=240)
    edges = [next(order.blocks(stream, 0)).last for stream in range(STREAMS)]
    assert len(set(edges)) == STREAMS


def test_a_shard_is_read_in_few_blocks():
    order = shuffle(np.full(120, 50), block_samples=200)
    uses = [
        shard
        for stream in range(STREAMS)
        for block in itertools.takewhile(lambda block: block.first < order.length, order.blocks(stream, 0))
        for shard in block.shards.tolist()
    ]
    assert len(uses) <= 120 + STREAMS * (order.length // 200 + 3)


def test_substitutes_are_of_the_block():
    order = shuffle(np.full(40, 60), block_samples=200)
    for stream, place in ((0, 250), (4, order.length + 250)):
        block = next(order.blocks(stream, place))
        of_block = {order(stream, other) for other in range(block.first, block.last + 1)}
        found = list(order.substitutes(stream, place))
        assert len(of_block) == 200
        assert sorted([order(stream, place), *found]) == sorted(of_block)
        assert found == list(order.substitutes(stream, place))


def test_a_small_block_looks_for_substitutes_in_all_of_its_epoch():
    order = shuffle(block_samples=3)
    found = [order(2, order.length + 5), *order.substitutes(2, order.length + 5)]
    assert sorted(found) == sorted(order(2, order.length + place) for place in range(order.length))


def test_a_small_stretch_looks_for_substitutes_in_the_whole_source():
    counts = np.array([40, 0, 50, 60, 13])
    order = shuffle(counts)
    length = order.length
    for stream, place in ((0, 5), (5, 3 * length + 2)):
        drawn = order(stream, place)
        stretch = {order(stream, place - place % length + other) for other in range(length)}
        found = list(order.substitutes(stream, place))
        assert {drawn, *found[: length - 1]} == stretch
        assert sorted([drawn, *found]) == list(range(counts.sum()))
        assert found == list(order.substitutes(stream, place))
        assert np.ptp(found[length - 1 : length + 20]) > counts.sum() / 2  # of all shards


@pytest.mark.parametrize(("counts", "streams"), [([1000], 512), ([70, 3, 0, 60], 50), ([9], 8), ([64], 64)])
def test_every_sample_is_seen_some_time(counts, streams):
    order = shuffle(np.array(counts), streams=streams, block_samples=1000)
    visits = [order(stream, place) for place in range(50 * order.length) for stream in range(streams)]
    assert set(visits) == set(range(sum(counts)))
    epochs = np.array(visits).reshape(50, streams * order.length)
    assert all(len(set(epoch)) == len(epoch) for epoch in epochs.tolist())


def test_it_goes_to_other_processes():
    order = shuffle()
    again = pickle.loads(pickle.dumps(order))
    assert [again(3, place) for place in range(500)] == [order(3, place) for place in range(500)]


def test_more_streams_than_samples_are_refused():
    with pytest.raises(UserError, match=r"data.streams = 6 is more than the 5 samples; accepted is at most that, or order exact"):
        shuffle(np.array([5]))
