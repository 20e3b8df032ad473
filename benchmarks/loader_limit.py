"""How much of the host's decoding the loader delivers: samples/s of training batches against a bare loop of the same work.

    python benchmarks/loader_limit.py [--rounds N] [--seconds S] [--threads T] [--workers W] [--json]

The bare loop is as many processes as there are cores, each of which decodes, crops and tokenizes JPEGs that lie in its memory, and does
nothing else: no shards, no order, no batches, nobody that takes them. The loader reads tars, makes batches of 256, and a synthetic step
takes them (the images are put on a CPU device). Crops are open_clip's, to 224 pixels; captions go through CLIP's BPE. Both take turns.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import itertools
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np
import webdataset
from PIL import Image

from diptych.data.clip_bpe import ClipBPE
from diptych.data.decode import decode_picture
from diptych.data.index import index_shards
from diptych.data.merges import fetch_merges, read_merges
from diptych.data.order import generator
from diptych.data.pipeline import TrainStream
from diptych.data.spec import AugmentSpec, DataSpec, DecodeSpec
from diptych.data.tokenizers import Tokenizer
from diptych.data.transforms import augmented, needed_side, prepare

BATCH, CONTEXT, JPEGS, SAMPLES = 256, 77, 32, 1024
CAPTION = "a photo of {} red apples and a green pear on a wooden table near the window"
KINDS = {"500x400": (500, 400, 90), "96 px": (128, 96, 90)}  # width, height, quality


def jpegs(width: int, height: int, quality: int) -> list[bytes]:
    """Images with the spectrum of a photograph: amplitude 1/f^1.6."""
    found = []
    for seed in range(JPEGS):
        random = np.random.default_rng(seed)
        frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
        frequency[0, 0] = 1
        planes = [np.fft.ifft2(np.fft.fft2(random.normal(size=(height, width))) / frequency**1.6).real for _ in range(4)]
        pixels = np.stack([planes[3] + 0.4 * plane for plane in planes[:3]], axis=2)
        file = io.BytesIO()
        image = Image.fromarray((128 + 52 * (pixels - pixels.mean()) / pixels.std()).clip(0, 255).astype(np.uint8))
        image.save(file, "jpeg", quality=quality)
        found.append(file.getvalue())
    return found


def write_shards(folder: Path, images: list[bytes]) -> list[str]:
    with webdataset.ShardWriter(f"{folder}/s-%03d.tar", maxcount=128, verbose=0) as writer:
        for number in range(SAMPLES):
            writer.write({"__key__": f"{number:06d}", "jpg": images[number % len(images)], "txt": CAPTION.format(number)})
    return [f"{folder}/s-*.tar"]


def one(data: bytes, caption: str, position: int, *, spec: DataSpec, tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    image = prepare(decode_picture(data, spec.decode, needed=needed_side(spec)), spec)
    pixels = np.asarray(augmented(image, spec, generator(0, position, "augment")))
    return pixels, tokenizer([caption], CONTEXT)[0]


def tokenizer_of(merges: str | None) -> ClipBPE:
    return ClipBPE(fetch_merges() if merges is None else read_merges(Path(merges).read_bytes(), path=merges))


def bare(images: list[bytes], spec: DataSpec, merges: str | None, pipe: Connection) -> None:
    """A process of the bare loop: told how many seconds, says how many samples."""
    tokenizer = tokenizer_of(merges)
    for number in range(64):
        one(images[number % len(images)], CAPTION.format(number), number, spec=spec, tokenizer=tokenizer)
    pipe.send(0)
    while seconds := pipe.recv():
        end, count = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            one(images[count % len(images)], CAPTION.format(count), count, spec=spec, tokenizer=tokenizer)
            count += 1
        pipe.send(count)


class Bare:
    """The bare loop, on every core."""

    def __init__(self, images: list[bytes], spec: DataSpec, merges: str | None):
        context = multiprocessing.get_context("spawn")
        self._pipes = []
        for _ in os.sched_getaffinity(0):
            ours, theirs = context.Pipe()
            context.Process(target=bare, args=(images, spec, merges, theirs), daemon=True).start()
            self._pipes.append(ours)
        for pipe in self._pipes:
            pipe.recv()

    def rate(self, seconds: float) -> float:
        """Samples/s of all cores together."""
        for pipe in self._pipes:
            pipe.send(seconds)
        return sum(pipe.recv() for pipe in self._pipes) / seconds

    def close(self) -> None:
        """Ends the processes."""
        for pipe in self._pipes:
            pipe.send(0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """Medians of the rounds, in samples/s; share: of the rounds' ratios."""

    images: str
    bare: float
    loader: float
    share: float


def measure(kind: str, spec: DataSpec, *, merges: str | None, rounds: int, seconds: float, folder: Path) -> Row:
    import jax

    images = jpegs(*KINDS[kind])
    loop, tokenizer = Bare(images, spec, merges), tokenizer_of(merges)
    sources = {"train": index_shards(write_shards(folder, images), setting="data.train")}
    device = jax.devices("cpu")[0]

    def loader_rate() -> float:
        stream = TrainStream(
            spec, sources=sources, tokenizer=tokenizer, context_length=CONTEXT, batch_size=BATCH, seed=0, slots=np.arange(BATCH)
        )
        try:
            return rate(batches(stream), step=lambda image: jax.block_until_ready(jax.device_put(image, device)), seconds=seconds)
        finally:
            stream.close()

    pairs = [(loop.rate(seconds), loader_rate()) for _ in range(rounds)]
    loop.close()
    return Row(
        images=kind,
        bare=statistics.median(pair[0] for pair in pairs),
        loader=statistics.median(pair[1] for pair in pairs),
        share=statistics.median(pair[1] / pair[0] for pair in pairs),
    )


def batches(stream: TrainStream) -> Iterator[np.ndarray]:
    for batch in stream:
        yield batch["image"]


def rate(images: Iterator[np.ndarray], *, step: Callable[[np.ndarray], object], seconds: float) -> float:
    """From the end of one batch to the end of another, so that what was made ahead at the start is not counted."""
    for image in itertools.islice(images, 3):
        step(image)
    begin, count = time.perf_counter(), 0
    while time.perf_counter() < begin + seconds:
        image = next(images)
        step(image)
        count += len(image)
    return count / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--merges", help="bpe_simple_vocab_16e6.txt.gz; absent: fetched")
    parser.add_argument("--backend", default="pillow")
    parser.add_argument("--resizer", default="pillow")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    spec = DataSpec(
        threads=args.threads,
        workers=args.workers,
        augment=AugmentSpec(crop_scale=(0.9, 1.0), crop_ratio=(3 / 4, 4 / 3)),
        decode=DecodeSpec(backend=args.backend, resizer=args.resizer),
    )
    rows = []
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(kind, spec, merges=args.merges, rounds=args.rounds, seconds=args.seconds, folder=Path(folder)))
    if args.json:
        print(json.dumps([dataclasses.asdict(row) for row in rows]))
        return
    print("| images | bare loop /s | loader /s | share |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.images} | {row.bare:,.0f} | {row.loader:,.0f} | {row.share:.1%} |")


if __name__ == "__main__":
    main()
