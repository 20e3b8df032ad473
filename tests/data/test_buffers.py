"""Memory of batches that is used again, and only when it was given back."""

import numpy as np

from diptych.data.buffers import KEPT, Buffers


def chunks(value, rows=(2, 1), width=3):
    return [{"a": np.full((count, width), value, np.uint8), "b": np.full(count, value, np.int32)} for count in rows]


def test_chunks_are_joined_in_order():
    joined = Buffers().joined([*chunks(1), *chunks(2, rows=(1,))])
    assert joined["a"].tolist() == [[1] * 3] * 3 + [[2] * 3] and joined["b"].tolist() == [1, 1, 1, 2]


def test_memory_is_used_again_after_it_was_given_back():
    buffers = Buffers()
    first = buffers.joined(chunks(1))
    second = buffers.joined(chunks(2))
    assert not np.shares_memory(first["a"], second["a"])
    buffers.give_back(first)
    third = buffers.joined(chunks(3))
    assert third["a"] is first["a"] and third["a"].min() == 3 and second["a"].max() == 2
    assert not np.shares_memory(buffers.joined(chunks(4))["a"], third["a"])


def test_memory_of_another_shape_is_left_alone():
    buffers = Buffers()
    buffers.give_back(buffers.joined(chunks(1)))
    assert buffers.joined(chunks(2, width=5))["a"].shape == (3, 5)
    assert buffers.joined(chunks(2, rows=(4,)))["a"].shape == (4, 3)


def test_little_is_kept():
    buffers = Buffers()
    batches = [buffers.joined(chunks(number)) for number in range(KEPT + 2)]
    for batch in batches:
        buffers.give_back(batch)
    again = [buffers.joined(chunks(9)) for _ in range(KEPT + 2)]
    assert sum(any(batch["a"] is old["a"] for old in batches) for batch in again) == KEPT
