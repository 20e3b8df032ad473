"""From host batches to devices: what a step gets, what stays on the host, and whose memory it is."""

import jax
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
        self.made, self.recycled = 0, []

    def __next__(self):
        text = np.zeros((ROWS, LENGTH), np.int32)
        text[:, : self.made] = 7
        text[:, self.made] = 1
        self.made += 1
        return {"text": text, "slot": np.arange(ROWS, dtype=np.int32), "bad": np.ones(ROWS, np.int32)}

    def recycle(self, batch):
        self.recycled.append(batch["text"][0].tolist().index(1))


@pytest.fixture
def mesh():
    return make_mesh(MeshSpec(replica=2, fsdp=4, tensor=1))


def test_a_batch_made_ahead_is_given_later(mesh):
    stream = Counting()
    feed = Feed(stream, mesh, batch_size=ROWS)
    first = next(feed)
    assert first.keys() == {"text", "slot"} and first["text"].shape == (ROWS, LENGTH)
    feed.prefetch()
    assert (stream.made, feed.given) == (2, 1)
    assert np.array_equal(np.asarray(next(feed)["text"])[0, :2], [7, 1])
    assert (stream.made, feed.given) == (2, 2)


def test_captions_are_cut_to_the_longest_of_all_hosts(mesh):
    lengths = TextLengths((2, 4), context_length=LENGTH, eos_id=1, pad_id=0)
    feed = Feed(Counting(), mesh, batch_size=ROWS, lengths=lengths)
    assert [next(feed)["text"].shape[1] for _ in range(5)] == [2, 2, 4, 4, LENGTH]
    feed = Feed(Counting(), mesh, batch_size=ROWS, lengths=lengths, largest=lambda length: max(length, 4))
    assert [next(feed)["text"].shape[1] for _ in range(5)] == [4, 4, 4, 4, LENGTH]


def test_memory_of_a_cpu_device_is_not_used_again(mesh):
    stream = Counting()
    feed = Feed(stream, mesh, batch_size=ROWS)
    for _ in range(3):
        jax.block_until_ready(next(feed))
    assert not stream.recycled


def test_memory_is_used_again_once_devices_have_copied_it(mesh):
    stream = Counting()
    feed = Feed(stream, mesh, batch_size=ROWS)
    feed._copies = True
    for _ in range(3):
        next(feed)
    assert stream.recycled == [0, 1]
