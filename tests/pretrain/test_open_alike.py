"""Hosts that have other samples than the first one are told so, before anything is trained."""

import io
import tarfile
import threading

import pytest

from diptych.data.alike import first_difference, outline
from diptych.data.index import index_shards
from diptych.data.spec import DataSpec
from diptych.errors import UserError
from diptych.pretrain.open_alike import open_alike


class Jobs:
    """Two processes that are threads; what one tells, the other hears."""

    def __init__(self):
        self.led, self.both, self.order = threading.Event(), threading.Barrier(2, timeout=20), []
        self.answer, self.values = None, [None, None]

    def of(self, process):
        jobs = self

        class Job:
            def agree(self, decide, *, seconds):
                if process == 0:
                    try:
                        jobs.answer = decide()
                    except UserError as error:
                        jobs.answer = error
                    jobs.order.append("indexed")
                    jobs.led.set()
                assert jobs.led.wait(20) and seconds > 600
                jobs.order.append(process)
                if isinstance(jobs.answer, UserError):
                    raise jobs.answer
                return jobs.answer

            def gather(self, value, *, seconds):
                jobs.values[process] = value
                jobs.both.wait()
                return [value for value in jobs.values if value]

        return Job()


@pytest.fixture
def shard(tmp_path):
    """shard(folder, name, samples=2) writes a tar."""

    def write(folder, name, samples=2):
        (tmp_path / folder).mkdir(exist_ok=True)
        with tarfile.open(tmp_path / folder / name, "w") as tar:
            for number in range(samples):
                info = tarfile.TarInfo(f"{number}.txt")
                info.size = 1
                tar.addfile(info, io.BytesIO(b"x"))

    return write


@pytest.fixture
def open_both(tmp_path):
    """open_both(): what two hosts get that see the folders `a` and `b`: sources, or an error."""

    def run():
        jobs, found = Jobs(), [None, None]

        def host(process):
            try:
                found[process] = open_alike(DataSpec(train=(f"{tmp_path}/{'ab'[process]}/s-*.tar",)), job=jobs.of(process))
            except UserError as error:
                found[process] = str(error)

        threads = [threading.Thread(target=host, args=(process,)) for process in (1, 0)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert jobs.order[0] == "indexed"
        return found

    return run


def test_hosts_with_the_same_shards_go_on(shard, open_both):
    for folder in "ab":
        shard(folder, "s-0.tar")
    first, second = open_both()
    assert first["train"].fingerprint == second["train"].fingerprint and len(second["train"]) == 2


@pytest.mark.parametrize(
    ("name", "samples", "words"),
    [
        ("s-1.tar", 3, "data.train has another name, size or number of samples for s-1.tar; accepted are the same shards"),
        ("s-2.tar", 2, "data.train has 3 shards, not 2; accepted"),
    ],
)
def test_a_host_with_other_shards_is_named_to_all(shard, open_both, name, samples, words):
    for folder in "ab":
        shard(folder, "s-0.tar")
        shard(folder, "s-1.tar")
    shard("b", name, samples)
    told = open_both()
    assert told[0] == told[1] and words in told[1] and "has other data than process 0: " in told[1]


def test_a_host_without_shards_is_named_to_all(shard, open_both):
    shard("a", "s-0.tar")
    told = open_both()
    assert told[0] == told[1] and "matches no file" in told[1]


def test_a_first_host_without_shards_stops_all(shard, open_both):
    shard("b", "s-0.tar")
    told = open_both()
    assert told[0] == told[1] and "matches no file" in told[1] and "other data" not in told[1]


def test_among_many_shards_a_stretch_is_named(shard, tmp_path):
    for number in range(130):
        shard("a", f"s-{number:03d}.tar", 1)
    before = outline({"train": index_shards([f"{tmp_path}/a/s-*.tar"], setting="x")})
    shard("a", "s-100.tar", 2)
    sources = {"train": index_shards([f"{tmp_path}/a/s-*.tar"], setting="x")}
    assert first_difference(sources, before).endswith("for one of the shards s-099.tar .. s-101.tar")
    assert first_difference(sources, outline(sources)) is None and len(before["train"]["blocks"]) <= 64
