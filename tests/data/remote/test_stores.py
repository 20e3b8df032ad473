"""Objects of gs are read as the generation that was opened, with packages that can, and looked at again with those that cannot."""

import pytest

from diptych.data import stores
from diptych.data.retry import Changed, Patience
from diptych.data.stores import AnyStore


class Bucket:
    """gcsfs from 2026.7 on, with one object of 5,000 bytes."""

    def __init__(self):
        self.content, self.generation, self.looks = b"A", "111", 0

    def info(self, path):
        self.looks += 1
        return {"size": 5000, "generation": self.generation, "type": "file"}

    def url(self, path, generation=None):
        return f"{path}?generation={generation}"

    def cat_file(self, path, start, end, **options):
        wanted = self.url(path, **options).partition("=")[2]
        if wanted not in ("", "None", self.generation):
            raise FileNotFoundError(path)
        return self.content * (end - start)

    def replace(self):
        self.content, self.generation = b"B", "222"


class Older(Bucket):
    """gcsfs before, which takes any options and passes over them."""

    def url(self, path):
        return path

    def cat_file(self, path, start, end, **options):
        return self.content * (end - start)


def opened(bucket):
    store = AnyStore(bucket, Patience())
    return store, store.stat("b/a.tar")


def test_a_generation_is_read_or_nothing():
    bucket = Bucket()
    store, stat = opened(bucket)
    assert store.read("b/a.tar", 0, 4, stat) == b"AAAA"
    bucket.replace()
    with pytest.raises(Changed, match="generation 111"):
        store.read("b/a.tar", 0, 4, stat)
    assert bucket.looks == 1


def test_a_package_that_cannot_pin_looks_again(monkeypatch):
    monkeypatch.setattr(stores, "RECHECK", 0.0)
    bucket = Older()
    store, stat = opened(bucket)
    assert store.read("b/a.tar", 0, 4, stat) == b"AAAA"
    bucket.replace()
    with pytest.raises(Changed, match="generation:111; is 5000 bytes, generation:222"):
        store.read("b/a.tar", 0, 4, stat)
