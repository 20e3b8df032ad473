"""The order of a run at 1e9 samples in 1e5 shards: what a look-up costs, and what hosts must hold and read, by simulation of the order.

    python benchmarks/order_at_scale.py [--json]

Alive: shards that some block under way on a host's streams reads, the most at any time over the simulated stretch. Read amplification:
shards that all hosts fetch in an epoch, each host once for each stretch of time in which it uses the shard, by the shards that there are.
First batch: from the state of the data at step 10,000,000 to a host's first batch (at most 128 rows of it: decoding them is most of the
time), read from one 500x400 JPEG that stands for all samples. resume_s: the order's own part, for all rows of the host.
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import io
import json
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from diptych.data.block_order import BlockShuffle
from diptych.data.mixture import Mixture, Segment
from diptych.data.order import positions
from diptych.data.pipeline import TrainStream
from diptych.data.sample import Sample
from diptych.data.spec import AugmentSpec, DataSpec

SAMPLES, SHARDS, BATCH, STEP, SHARD_GB = 1_000_000_000, 100_000, 32_768, 10_000_000, 0.35
LOOK_UPS = 20_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One setting. look_up_us: of process time. resume_s, first_batch_s: see above. shards_alive: on one host."""

    hosts: int
    streams: int
    block_shards: int
    look_up_us: float
    memory_mib: float
    resume_s: float
    first_batch_s: float
    shards_alive: int
    alive_gb: float
    read_amplification: float


def counts() -> np.ndarray:
    """1e5 shards of about 10,000 samples, as a downloader leaves them."""
    found = np.random.default_rng(0).integers(9_000, 11_001, SHARDS)
    found[-1] += SAMPLES - found.sum()
    return found


def make(streams: int, block_shards: int) -> Mixture:
    shuffle = BlockShuffle(counts(), streams=streams, block_samples=block_shards * SAMPLES // SHARDS, key=1)
    return Mixture({"train": shuffle}, streams=streams, segments=[Segment(0, {"train": 1.0})], key=2)


def measure(hosts: int, streams: int, block_shards: int) -> Row:
    slots = np.arange(BATCH // hosts)
    first = STEP * BATCH
    tracemalloc.start()
    order = make(streams, block_shards)
    order(first)
    memory = tracemalloc.get_traced_memory()[0] / 2**20
    tracemalloc.stop()

    begin = time.perf_counter()
    order = make(streams, block_shards)
    for position in positions(first, BATCH, slots, streams=streams).tolist():
        order(position)
    resume = time.perf_counter() - begin

    rows = (positions(first + step * BATCH, BATCH, slots, streams=streams).tolist() for step in range(1, 1 + LOOK_UPS // len(slots) + 1))
    places = [position for row in rows for position in row][:LOOK_UPS]
    begin = time.process_time()
    for position in places:
        order(position)
    look_up = (time.process_time() - begin) / len(places)

    alive, amplification = simulate(order, hosts)
    return Row(
        hosts=hosts,
        streams=streams,
        block_shards=block_shards,
        look_up_us=1e6 * look_up,
        memory_mib=memory,
        resume_s=resume,
        first_batch_s=first_batch(hosts, streams, block_shards),
        shards_alive=alive,
        alive_gb=alive * SHARD_GB,
        read_amplification=amplification,
    )


class OneImage:
    """1e9 samples that look alike."""

    fingerprint = "one image"

    def __init__(self) -> None:
        self.counts, file = counts(), io.BytesIO()
        noise = np.random.default_rng(0).integers(0, 256, (25, 20, 3), np.uint8)
        Image.fromarray(noise).resize((500, 400), Image.Resampling.BICUBIC).save(file, "jpeg", quality=90)
        self._sample = Sample("shard", "key", {"jpg": file.getvalue(), "txt": b"a"})

    def __len__(self) -> int:
        return SAMPLES

    def read(self, sample: int) -> Sample:
        """The one sample."""
        return self._sample


class NoWords:
    """A tokenizer that does nothing."""

    vocab_size, eos_id, pad_id, fingerprint = 2, 1, 0, "none"

    def __call__(self, texts: Sequence[str], context_length: int) -> np.ndarray:
        """int32[B, T] of ones."""
        return np.ones((len(texts), context_length), np.int32)

    def save(self, folder: Path) -> Path:
        """There is nothing to save."""
        return folder


def first_batch(hosts: int, streams: int, block_shards: int) -> float:
    source = OneImage()
    spec = DataSpec(order="block", streams=streams, block_shards=block_shards, augment=AugmentSpec(crop_scale=(0.9, 1.0)))
    begin = time.perf_counter()
    stream = TrainStream(
        spec,
        sources={"train": source},
        tokenizer=NoWords(),
        context_length=77,
        batch_size=BATCH,
        seed=0,
        slots=np.arange(min(BATCH // hosts, 128)),
        start=STEP * BATCH,
    )
    next(stream)
    seconds = time.perf_counter() - begin
    stream.close()
    return seconds


def simulate(order: Mixture, hosts: int) -> tuple[int, float]:
    """(the most shards alive on one host, read amplification) of one whole epoch on evenly chosen hosts, enough for 128 streams."""
    per_host = order.streams // hosts
    chosen = range(0, hosts, max(1, hosts * per_host // 128)) if per_host < 128 else range(1)
    alive, fetched = 0, 0
    for host in chosen:
        found, read = of_host(order, range(host * per_host, (host + 1) * per_host))
        alive, fetched = max(alive, found), fetched + read
    return alive, fetched / len(chosen) * hosts / SHARDS


def of_host(order: Mixture, streams: range) -> tuple[int, int]:
    """(most shards alive, fetches) of the second epoch of a host's streams; a shard stays until its last use there is over."""
    ends: list[tuple[int, int]] = []
    until: dict[int, int] = {}
    most = fetched = 0
    epoch = SAMPLES // order.streams * order.streams
    for use in order.uses(streams, epoch):
        if use.first >= 2 * epoch:
            return most, fetched
        while ends and ends[0][0] < use.first - order.streams:  # a shard on the edge of two blocks of a stream is kept
            end, shard = heapq.heappop(ends)
            if until.get(shard) == end:
                del until[shard]
        fetched += use.shard not in until
        until[use.shard] = max(use.last, until.get(use.shard, 0))
        heapq.heappush(ends, (until[use.shard], use.shard))
        most = max(most, len(until))
    raise AssertionError("an order has no end")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    settings = [(1, 512, 4), (64, 512, 4), (64, 512, 16), (1024, 1024, 4), (1024, 1024, 16)]
    rows = [measure(*setting) for setting in settings]
    if args.json:
        print(json.dumps([dataclasses.asdict(row) for row in rows]))
        return
    names = [field.name for field in dataclasses.fields(Row)]
    print("| " + " | ".join(names) + " |\n|" + "---|" * len(names))
    for row in rows:
        print("| " + " | ".join(f"{value:.3g}" if isinstance(value, float) else f"{value:,}" for value in dataclasses.astuple(row)) + " |")


if __name__ == "__main__":
    main()
