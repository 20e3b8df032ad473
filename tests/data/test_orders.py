"""Which order a recipe gets, and what it asks of a batch."""

import dataclasses

import numpy as np
import pytest

from diptych import UserError
from diptych.data.orders import check_batch, kind_of_order, make_order
from diptych.data.spec import DataSpec, PartSpec
from diptych.data.state import mixture_segments


class Counted:
    fingerprint = "counted"

    def __init__(self, *counts):
        self.counts = np.array(counts)

    def __len__(self):
        return int(self.counts.sum())


def order_of(spec, **sources):
    return make_order(spec, sources=sources, segments=mixture_segments(spec, {}), seed=3)


@pytest.mark.parametrize(
    ("order", "samples", "kind"),
    [("auto", 999_999, "exact"), ("auto", 1_000_000, "block"), ("exact", 10**9, "exact"), ("block", 10, "block")],
)
def test_small_data_are_shuffled_exactly(order, samples, kind):
    assert kind_of_order(DataSpec(order=order), samples=samples) == kind


def test_streams_are_those_of_the_block_order_alone():
    source = Counted(600_000, 0, 600_000)
    assert order_of(DataSpec(streams=48), train=source).streams == 48
    assert order_of(DataSpec(streams=48, order="exact"), train=source).streams == 1


def test_sources_of_a_mixture_have_orders_of_their_own():
    spec = DataSpec(mixture={"b": PartSpec(weight=1), "a": PartSpec(weight=1)})
    order = order_of(spec, b=Counted(500), a=Counted(500))
    drawn = [order(position) for position in range(1000)]
    first, second = ([sample for source, sample in drawn if source == number] for number in (0, 1))
    assert sorted(first) == sorted(second) == list(range(500)) and first != second


def test_a_batch_of_another_size_goes_on_with_the_same_samples():
    order = order_of(DataSpec(order="block", streams=4), train=Counted(*[50] * 20))
    assert len({order(position) for position in range(1000)}) == 1000  # whatever the batches that they are drawn in


@pytest.mark.parametrize(
    ("batch_size", "start", "message"),
    [
        (30, 0, r"data.streams = 4 does not divide train.batch_size = 30; accepted is a divisor of 30, or data.order = exact"),
        (32, 6, r"data.streams = 4 does not divide the 6 samples that the run has drawn"),
    ],
)
def test_streams_divide_what_is_drawn(batch_size, start, message):
    spec = DataSpec(order="block", streams=4)
    with pytest.raises(UserError, match=message):
        check_batch(order_of(spec, train=Counted(100)), batch_size=batch_size, start=start)
    check_batch(order_of(dataclasses.replace(spec, order="exact"), train=Counted(100)), batch_size=batch_size, start=start)


def test_sources_without_samples_are_refused():
    with pytest.raises(UserError, match="the source 'train' of data holds no samples"):
        order_of(DataSpec(), train=Counted(0, 0))
