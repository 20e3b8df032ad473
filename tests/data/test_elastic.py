"""The global batches of a run are the same, bit for bit, however many hosts and worker processes make them, and wherever it restarts.

A mixture of three sources in which 6 of 100 samples are bad; captions are drawn, images augmented in all ways. Hosts are simulated by the
rows of the batch that they feed.
"""

import dataclasses
import random

import numpy as np
import pytest

from diptych.data.index import index_shards
from diptych.data.pipeline import TrainStream, read_ahead
from diptych.data.spec import AugmentSpec, CaptionSpec, DataSpec, PartSpec

BATCH, STREAMS, STEPS, LENGTH = 32, 16, 64, 16
HOSTS = (1, 2, 4, 8)
SIZES = {"photos": 300, "drawings": 120, "scans": 80}
WEIGHTS = {"photos": 0.5, "drawings": 0.3, "scans": 0.2}
SPEC = DataSpec(
    mixture={name: PartSpec(weight=weight) for name, weight in WEIGHTS.items()},
    order="block",
    streams=STREAMS,
    block_shards=2,
    image_size=8,
    augment=AugmentSpec(
        crop_scale=(0.4, 1.0), crop_ratio=(0.75, 1.33), flip=0.5, colour_jitter=(0.4, 0.4, 0.4, 0.1), grey=0.2, randaugment=(2, 9)
    ),
    caption=CaptionSpec(sources={"txt": 0.7, "json:name": 0.3}, templates=("{}", "a photo of {}", "{} on the mat")),
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory, write_shard, sample_members):
    """name -> index of shards of 20 samples; every 16th or 17th sample is bad, in one of three ways."""
    folder, made, number = tmp_path_factory.mktemp("elastic"), {}, 0
    for name, size in SIZES.items():
        for shard in range(size // 20):
            members = {}
            for place in range(20):
                content = sample_members(number)
                if number % 50 in (7, 23, 41):
                    content |= ({"png": b"broken"}, {"txt": None, "json": None}, {"png": b""})[number % 3]
                members |= {f"{place:03d}.{suffix}": data for suffix, data in content.items() if data is not None}
                number += 1
            write_shard(folder / f"{name}-{shard:02d}.tar", members)
        made[name] = index_shards([f"{folder}/{name}-*.tar"], setting=f"data.mixture.{name}")
    return made


@pytest.fixture(scope="module")
def stream(sources, words):
    """stream(slots, first step, **changes of the settings)."""

    def make(slots, first=0, **changes):
        spec = dataclasses.replace(SPEC, **changes)
        return TrainStream(
            spec, sources=sources, tokenizer=words, context_length=LENGTH, batch_size=BATCH, seed=5, slots=slots, start=first * BATCH
        )

    return make


@pytest.fixture(scope="module")
def draw(stream):
    """draw(first step, steps, hosts=..., **changes): name -> [steps, batch, ...] of all hosts' rows together."""

    def take(first, steps, *, hosts, **changes):
        rows = []
        for part in np.split(np.arange(BATCH), hosts):
            host = stream(part, first, **changes)
            rows.append(_stacked([next(host) for _ in range(steps)]))
            host.close()
        return {name: np.concatenate([host[name] for host in rows], axis=1) for name in rows[0]}

    return take


class Interleaved:
    """Batches of all hosts in turn: one pool of workers, which are slow to start, serves them all."""

    def __init__(self, hosts):
        self._hosts, self.count, self.parts = hosts, hosts[0].count, hosts[0].parts

    def layout(self, batch):
        return self._hosts[batch % len(self._hosts)].layout(batch // len(self._hosts))

    def fill(self, batch, part, out):
        return self._hosts[batch % len(self._hosts)].fill(batch // len(self._hosts), part, out)


@pytest.fixture(scope="module")
def draw_by_workers(stream):
    """As `draw`, with worker processes; rows have no slots."""

    def take(first, steps, *, hosts, workers, **changes):
        rows = [stream(part, first, **changes).rows for part in np.split(np.arange(BATCH), hosts)]
        pool = read_ahead(Interleaved(rows), dataclasses.replace(SPEC, workers=workers))
        made = [next(pool).batch for _ in range(steps * hosts)]
        pool.close()
        drawn = [_stacked(made[host::hosts]) for host in range(hosts)]
        return {name: np.concatenate([host[name] for host in drawn], axis=1) for name in drawn[0]}

    return take


def _stacked(batches):
    return {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}


@pytest.fixture(scope="module", params=["block", "exact"])
def undisturbed(request, draw):
    """(order, what one host without workers draws in 64 steps)."""
    return request.param, draw(0, STEPS, hosts=1, order=request.param)


def assert_same(found, expected, *, first=0):
    assert found.keys() == expected.keys() >= {"image", "text", "bad"}
    for name, value in expected.items():
        assert found[name].dtype == value.dtype and found[name].tobytes() == value[first:].tobytes(), name


def test_captions_are_drawn(stream):
    """What the sameness of the text would not show if each sample had one caption alone."""
    changes = {"caption": CaptionSpec(), "order": "block"}
    drawn, plain = (stream(np.arange(BATCH), **more) for more in ({"order": "block"}, changes))
    assert np.mean((next(drawn)["text"] != next(plain)["text"]).any(1)) > 0.5
    drawn.close()
    plain.close()


def test_bad_samples_are_among_them(undisturbed):
    bad = undisturbed[1]["bad"]
    assert 0.05 < bad.sum() / (bad.size + bad.sum()) < 0.07
    crops = {image.tobytes() for image in undisturbed[1]["image"].reshape(-1, 192)}
    assert len(crops) > 0.95 * STEPS * BATCH  # four epochs, but each draw has a crop of its own


@pytest.mark.parametrize("hosts", HOSTS)
def test_threads(undisturbed, draw, hosts):
    order, expected = undisturbed
    assert_same(draw(0, STEPS, hosts=hosts, order=order), expected)
    restart = random.Random(f"{hosts} {order}").randrange(1, STEPS)
    assert_same(draw(restart, STEPS - restart, hosts=hosts, order=order, threads=3), expected, first=restart)


@pytest.mark.parametrize(("hosts", "workers", "then"), [(1, 1, 3), (2, 3, 1)])
@pytest.mark.parametrize("undisturbed", ["block"], indirect=True)
def test_worker_processes(undisturbed, draw, hosts, workers, then):
    """64 steps in all: with so many workers a host up to a random step, and from there on after a restart with another number."""
    restart = random.Random(f"{hosts} {workers}").randrange(1, STEPS)
    before = {name: value[:restart] for name, value in undisturbed[1].items()}
    assert_same(draw(0, restart, hosts=hosts, workers=workers), before)
    assert_same(draw(restart, STEPS - restart, hosts=hosts, workers=then), undisturbed[1], first=restart)


@pytest.mark.parametrize(("hosts", "workers", "then"), [(4, 1, 3), (8, 3, 1)])
@pytest.mark.parametrize("undisturbed", ["block"], indirect=True)
def test_chunks_of_many_hosts_by_worker_processes(undisturbed, draw_by_workers, hosts, workers, then):
    """As above for the chunks that streams join, which are cheap to make for many hosts in one pool."""
    expected = {name: value for name, value in undisturbed[1].items() if name != "slot"}
    restart = random.Random(f"{hosts} {workers}").randrange(1, STEPS)
    assert_same(draw_by_workers(0, restart, hosts=hosts, workers=workers), {name: value[:restart] for name, value in expected.items()})
    assert_same(draw_by_workers(restart, STEPS - restart, hosts=hosts, workers=then), expected, first=restart)
