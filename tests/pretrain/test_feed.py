"""From host batches to devices: what a step gets, what stays on the host, and whose memory it is."""

import threading
import time

import numpy as np
import pytest

from diptych.data.lengths import TextLengths
from diptych.pretrain.feed import Feed
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec

ROWS, LENGTH = 8, 16


class Counting:
    """Batch k holds captions of k + 1 tokens."""

    def __init__(self):
        self.made = 0

    def __next__(self):
        text = np.zeros((ROWS, LENGTH), np.int32)
        text[:, : self.made] = 7
        text[:, self.made] = 1
        self.made += 1
        return {"text": text, "slot": np.arange(ROWS, dtype=np.int32), "bad": np.ones(ROWS, np.int32)}


@pytest.fixture
def mesh():
    return make_mesh(MeshSpec(replica=2, fsdp=4, tensor=1))


def test_a_batch_made_ahead_is_given_later(mesh):
    stream = Counting()
    feed = Feed(stream, mesh, batch_size=ROWS)
    first = next(feed)
    assert first.keys() == {"text", "slot"} and first["text"].shape == (ROWS, LENGTH)
    feed.prefetch(first)
    assert (stream.made, feed.given) == (2, 1)
    assert np.array_equal(np.asarray(next(feed)["text"])[0, :2], [7, 1])
    assert (stream.made, feed.given) == (2, 2)


def test_captions_are_cut_to_the_longest_of_all_hosts(mesh):
    lengths = TextLengths((2, 4), context_length=LENGTH, eos_id=1, pad_id=0)
    feed = Feed(Counting(), mesh, batch_size=ROWS, lengths=lengths)
    assert [next(feed)["text"].shape[1] for _ in range(5)] == [2, 2, 4, 4, LENGTH]
    feed = Feed(Counting(), mesh, batch_size=ROWS, lengths=lengths, largest=lambda length: max(length, 4))
    assert [next(feed)["text"].shape[1] for _ in range(5)] == [4, 4, 4, 4, LENGTH]


class Slow(Counting):
    """Each batch takes 0.2 s to make."""

    def __next__(self):
        time.sleep(0.2)
        return super().__next__()


class Step:
    """What a step gives, ready after some seconds."""

    def __init__(self, seconds):
        self._done = threading.Event()
        threading.Timer(seconds, self._done.set).start()

    def block_until_ready(self):
        self._done.wait()
        return self


@pytest.mark.parametrize("seconds", [0.0, 0.1, 1.5])
def test_a_wait_counts_while_the_devices_are_idle(mesh, seconds):
    feed = Feed(Slow(), mesh, batch_size=ROWS)
    next(feed)
    assert (before := feed.waited) > 0.15  # nothing was dispatched
    start = time.perf_counter()
    feed.prefetch([Step(seconds)])
    most = max(0.0, time.perf_counter() - start - seconds)
    assert max(0.0, most - 0.15) <= feed.waited - before <= most + 0.01
