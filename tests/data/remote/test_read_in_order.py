"""Tools that go through samples of far away do not wait for one request after the other."""

import argparse

import pytest

from diptych.data.eval_set import EvalSet
from diptych.data.index import index_shards
from diptych.data.read_in_order import read_in_order, readers
from diptych.data.spec import DataSpec
from diptych.launch import data_inspect
from diptych.launch.data_make import write_source
from diptych.launch.data_tokenizer import read_captions

TOGETHER = 8  # requests that wait at a time, at least


@pytest.fixture
def index(site, shards, tmp_path, monkeypatch):
    """40 samples on a slow server."""
    monkeypatch.setenv("DIPTYCH_CACHE", str(tmp_path / "cache"))
    shards()
    for path in tmp_path.glob("s-*.tar"):
        site.put(path.name, path.read_bytes())
    found = index_shards([f"{site.url}/s-{{0..2}}.tar"], setting="x")
    site.pace = 0.05
    return found


@pytest.fixture
def together(site):
    """together(function, ...): what it returns, having asked for several samples at a time."""

    def call(function, *args, **options):
        site.most = 0
        made = function(*args, **options)
        assert site.most >= TOGETHER
        return made

    return call


def test_in_order_and_together(index, together, sample_members):
    numbers = [*range(0, 40, 3), *range(39, 0, -2)]
    read = together(lambda: list(read_in_order(index, numbers)))
    assert [dict(sample.members) for sample in read] == [sample_members(number) for number in numbers]


def test_local_shards_are_read_by_the_thread_that_asks(shards):
    local = index_shards(shards(), setting="x")
    assert (readers(local), readers(local, threads=7)) == (1, 7)
    assert [sample.key for sample in read_in_order(local, range(3))] == ["0000", "0001", "0002"]


def test_what_cannot_be_read_is_raised_in_its_place(index, site):
    del site.files["/s-1.tar"]
    read = read_in_order(index, range(40))
    assert [next(read).key for _ in range(13)] == [f"{number:04d}" for number in range(13)]
    with pytest.raises(OSError, match=r"s-1\.tar"):
        next(read)


def test_the_tools_do_so(index, together, site, tmp_path, sample_members, capsys):
    captions, bad = together(read_captions, index, ("txt",), samples=1000)
    assert (captions, bad) == ([sample_members(number)["txt"].decode() for number in range(40)], 0)
    (tmp_path / "out").mkdir()
    together(write_source, index, tmp_path / "out" / "o-%05d.tar", per_shard=20)
    made = index_shards([f"{tmp_path}/out/*.tar"], setting="x")
    assert [dict(made.read(number).members) for number in (0, 39)] == [sample_members(0), sample_members(39)]
    arguments = argparse.ArgumentParser()
    data_inspect.add_arguments(arguments)
    result = together(data_inspect.run, arguments.parse_args([f"{site.url}/s-{{0..2}}.tar"]))
    assert (result["looked_at"], result["bad"]) == (40, 0)


def test_evaluation_does_so(index, together, site):
    samples = EvalSet([f"{site.url}/s-{{0..2}}.tar"], spec=DataSpec(image_size=8, threads=1), setting="x")
    assert together(len, samples) == 40 and len(together(samples.captions)) == 40
