import pickle

import pytest

from diptych.data.cache import BoundedCache
from diptych.data.index import index_shards
from diptych.data.order import Drawn
from diptych.data.samples import TrainSamples
from diptych.data.spec import DataSpec


class Counting:
    """A source that counts what is read."""

    def __init__(self, source):
        self._source, self.reads = source, 0

    def read(self, sample):
        self.reads += 1
        return self._source.read(sample)


@pytest.mark.parametrize(("workers", "kept"), [(0, 20), (1, 20), (2, 10), (4, 5)])
def test_workers_share_the_memory_of_a_host(shards, words, workers, kept):
    source = Counting(index_shards(shards(), setting="data.train"))
    spec = DataSpec(image_size=113, cache_mb=1, workers=workers)  # 51 kB an image
    samples = TrainSamples(spec, sources={"train": source}, tokenizer=words, context_length=16)
    for _ in range(2):
        for sample in range(40):
            samples.load(Drawn(0, sample))
    assert 80 - source.reads == kept


def test_cache_takes_what_fits_and_keeps_it():
    cache = BoundedCache[int, str](100)
    for key, size in ((1, 60), (2, 50), (3, 40), (4, 1), (1, 0)):
        cache.put(key, f"item {key} of {size}", size=size)
    assert [cache.get(key) for key in (1, 2, 3, 4, 5)] == ["item 1 of 60", None, "item 3 of 40", None, None]


def test_no_memory_keeps_nothing():
    cache = BoundedCache[int, str](0)
    cache.put(1, "item", size=1)
    assert cache.get(1) is None


def test_another_process_gets_an_empty_one_of_the_same_size():
    cache = BoundedCache[int, str](100)
    cache.put(1, "item", size=90)
    again = pickle.loads(pickle.dumps(cache))
    assert again.get(1) is None
    again.put(2, "other", size=100)
    assert again.get(2) == "other"
