"""The count of bad samples over all processes and starts, of batches that were trained on."""

import types

import pytest

from diptych import UserError
from diptych.data.bad import Bad, BadLog
from diptych.pretrain.bad_total import BadTotal

BATCH = 100


class Hosts:
    """A job of two hosts: the other one says the same each time."""

    def __init__(self, other):
        self._other = other

    def gather(self, value):
        return [part for part in (value, self._other) if part]


@pytest.fixture
def feed():
    return types.SimpleNamespace(given=0)


def total(log, feed, *, other=None, before=None, start=0, max_fraction=0.01):
    return BadTotal(log, feed=feed, job=Hosts(other), before=before, start=start, batch_size=BATCH, max_fraction=max_fraction)


def test_batches_made_ahead_are_counted_when_they_are_trained_on(feed):
    log = BadLog()
    bad = total(log, feed, start=1000, before={"count": 5, "shards": {"s": {"broken": 5}}}, max_fraction=1.0)
    log.add([Bad(1000, "s", "a", "broken"), Bad(1099, "t", "b", "no caption")])
    log.add([Bad(1100, "s", "c", "broken")])
    assert bad.read() == 5
    feed.given = 1
    assert bad.read() == 7 and bad.read() == 7
    assert bad.counts.state() == {"count": 7, "shards": {"s": {"broken": 6}, "t": {"no caption": 1}}}
    feed.given = 2
    assert bad.read() == 8


def test_the_share_is_judged_over_all_hosts_and_starts(feed):
    found = {"s": {"broken": 1}, "t": {"broken": 5}}
    bad = total(BadLog(), feed, other=found, before={"count": 2, "shards": {"s": {"broken": 2}}}, start=600)
    feed.given = 3
    assert bad.read() == 8  # of 908 draws: not judged yet
    feed.given = 4
    with pytest.raises(
        UserError, match=r"data.max_bad_fraction = 0.01 is exceeded: 14 of 1014 samples were bad, most in t \(10\), s \(4\);"
    ):
        bad.read()
