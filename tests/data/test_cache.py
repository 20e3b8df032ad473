import pickle

from diptych.data.cache import BoundedCache


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
