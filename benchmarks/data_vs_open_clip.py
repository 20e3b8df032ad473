"""Samples/s of the loader against open_clip's own: its `get_wds_dataset` with 2 workers and its training transform, in turn, in one run.

    DIPTYCH_PARITY=1 PYTHONPATH=../shared/tools python benchmarks/data_vs_open_clip.py --open-clip-python PYTHON [--data FOLDER] [--json]

PYTHON is the interpreter of an environment with open_clip_torch 3.3, torch, torchvision, webdataset 0.2.86 and pandas (open_clip's loader
does not work with webdataset 1). Both make batches of 256 at 224 pixels with open_clip's crop and CLIP's tokens, on 2 processes or threads:
from the grocery tars (shorter side 96) and from 500x400 JPEGs made here. open_clip gives normalised float32, Diptych uint8, which it
normalises on the device. Checked first: for the same boxes, both crop to the same bytes.

`fast` is Diptych with data.decode.backend = simplejpeg and data.decode.resizer = cykooz, pixels within the differences of docs/data.md; it
needs the `fast` extra. `bare` is the limit: processes that decode, crop and tokenize JPEGs in memory, and do nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

BATCH, SIZE, WORKERS, CONTEXT, WARM, SETTLE = 256, 224, 2, 77, 5, 2.0
SCALE, RATIO = (0.9, 1.0), (3 / 4, 4 / 3)
CHECKED = 64


def open_clip_batches(shards: str) -> Iterator[int]:
    """Rows of each batch of open_clip's loader."""
    from types import SimpleNamespace

    import open_clip
    from open_clip_train.data import get_wds_dataset

    args = SimpleNamespace(
        train_data=shards,
        train_num_samples=10**9,
        train_data_upsampling_factors=None,
        dataset_resampled=True,
        seed=0,
        batch_size=BATCH,
        workers=WORKERS,
        world_size=1,
    )
    transform = open_clip.image_transform(SIZE, is_train=True, mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD)
    loader = get_wds_dataset(args, transform, is_train=True, tokenizer=open_clip.SimpleTokenizer()).dataloader
    return (len(images) for images, _ in loader)


def open_clip_crop(data: bytes, box: Sequence[int]) -> bytes:
    """What torchvision makes of a box, as open_clip's RandomResizedCrop does."""
    from PIL import Image
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import resized_crop

    left, top, right, bottom = box
    image = Image.open(io.BytesIO(data)).convert("RGB")
    return resized_crop(image, top, left, bottom - top, right - left, [SIZE, SIZE], InterpolationMode.BICUBIC).tobytes()


def settings(backend: str, resizer: str) -> Any:
    from diptych.data.spec import AugmentSpec, DataSpec, DecodeSpec

    return DataSpec(
        image_size=SIZE,
        threads=WORKERS,
        augment=AugmentSpec(crop_scale=SCALE, crop_ratio=RATIO),
        decode=DecodeSpec(backend=backend, resizer=resizer),
    )


def diptych_batches(shards: str, merges: str, *, backend: str, resizer: str) -> Iterator[int]:
    """Rows of each batch of Diptych's loader."""
    import numpy as np

    from diptych.data.clip_bpe import ClipBPE
    from diptych.data.index import index_shards
    from diptych.data.merges import read_merges
    from diptych.data.pipeline import TrainStream

    stream = TrainStream(
        settings(backend, resizer),
        sources={"train": index_shards([shards], setting="data.train")},
        tokenizer=ClipBPE(read_merges(Path(merges).read_bytes(), path=merges)),
        context_length=CONTEXT,
        batch_size=BATCH,
        seed=0,
        slots=np.arange(BATCH),
    )
    for batch in stream:
        yield len(batch["image"])


def serve(side: str, shards: str, merges: str) -> None:
    """A loader in a process of its own: reads seconds from stdin, writes samples/s to stdout."""
    if side == "open_clip":
        rows = open_clip_batches(shards)
    else:
        backend, resizer = ("simplejpeg", "cykooz") if side == "fast" else ("pillow", "pillow")
        rows = diptych_batches(shards, merges, backend=backend, resizer=resizer)
    next(rows)
    time.sleep(SETTLE)
    print("ready", flush=True)
    for line in sys.stdin:
        for _ in range(WARM):  # made ahead while the others ran
            next(rows)
        begin, count = time.perf_counter(), 0
        while time.perf_counter() < begin + float(line):
            count += next(rows)
        rate = count / (time.perf_counter() - begin)
        time.sleep(SETTLE)  # until it has made ahead what it will
        print(rate, flush=True)


class Side:
    """A loader's process."""

    def __init__(self, python: str, *arguments: str):
        self._process = subprocess.Popen([python, __file__, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._read("ready")

    def rate(self, seconds: float) -> float:
        """Samples/s."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        return float(self._read())

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()

    def _read(self, wanted: str = "") -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not wanted or line.strip() == wanted:
                return line
        raise SystemExit(f"{self._process.args!r} ended with {self._process.wait()}")


def images_of(shards: str, count: int) -> list[bytes]:
    """The first JPEGs of shards."""
    import webdataset

    found: list[bytes] = []
    for path in webdataset.shardlists.expand_urls(shards):
        with tarfile.open(path) as tar:
            found += [tar.extractfile(member).read() for member in tar if member.name.endswith(".jpg")]  # type: ignore[union-attr]
    return found[:count]


def check_pixels(python: str, images: Sequence[bytes]) -> int:
    """How many crops were compared; raises where the two differ in a byte."""
    import numpy as np

    from diptych.data.augment import random_box
    from diptych.data.decode import decode
    from diptych.data.order import generator
    from diptych.data.transforms import augmented, prepare

    spec, boxes, ours = settings("pillow", "pillow"), [], []
    for number, data in enumerate(images):
        image = decode(data)
        boxes.append(random_box(image.size, spec.augment, generator(0, number, "augment")))
        pixels = np.asarray(augmented(prepare(image, spec), spec, generator(0, number, "augment")))
        ours.append(hashlib.sha256(pixels.tobytes()).hexdigest())
    assert ours, "there is nothing to compare"
    asked = json.dumps([[data.hex(), box] for data, box in zip(images, boxes)])
    done = subprocess.run([python, __file__, "--crop"], input=asked, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == ours, "the two crop to other bytes"
    return len(ours)


def compare(python: str, name: str, shards: str, merges: str, *, rounds: int, seconds: float) -> dict[str, Any]:
    """Medians of samples/s, and of the rounds' ratios to open_clip."""
    from loader_limit import Bare

    images = images_of(shards, 256)
    compared = check_pixels(python, images[:CHECKED])
    sides: dict[str, Any] = {"open_clip": Side(python, "--side", "open_clip", "--shards", shards, "--merges", merges)}
    for side in ("diptych", "fast"):
        sides[side] = Side(sys.executable, "--side", side, "--shards", shards, "--merges", merges)
    sides["bare"] = Bare(images, settings("pillow", "pillow"), merges)
    sides["bare_fast"] = Bare(images, settings("simplejpeg", "cykooz"), merges)
    found = [{side: process.rate(seconds) for side, process in sides.items()} for _ in range(rounds)]
    for process in sides.values():
        process.close()
    medians = {side: statistics.median(rates[side] for rates in found) for side in sides}
    ratios = {
        f"{side}_ratio": statistics.median(rates[side] / rates["open_clip"] for rates in found) for side in sides if side != "open_clip"
    }
    return {"images": name, "crops_compared": compared, **medians, **ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--open-clip-python", default=sys.executable)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[1] / "../shared/data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--shards", help=argparse.SUPPRESS)
    parser.add_argument("--merges", help=argparse.SUPPRESS)
    parser.add_argument("--crop", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        return serve(args.side, args.shards, args.merges)
    if args.crop:
        return print(
            json.dumps([hashlib.sha256(open_clip_crop(bytes.fromhex(data), box)).hexdigest() for data, box in json.load(sys.stdin)])
        )

    from loader_limit import KINDS, jpegs, write_shards

    merges = str((args.data / "text/bpe_simple_vocab_16e6.txt.gz").resolve())
    names = sorted(path.name for path in (args.data / "grocery").glob("grocery-train-*.tar"))
    grocery = f"{(args.data / 'grocery').resolve()}/{{{','.join(names)}}}" if len(names) > 1 else f"{args.data / 'grocery'}/{names[0]}"
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder), jpegs(*KINDS["500x400"]))
        made = f"{folder}/s-{{000..{len(list(Path(folder).glob('*.tar'))) - 1:03d}}}.tar"
        for name, shards in (("500x400", made), ("grocery", grocery)):
            row = compare(args.open_clip_python, name, shards, merges, rounds=args.rounds, seconds=args.seconds)
            text = json.dumps(row) if args.json else "  ".join(f"{key} {_short(value)}" for key, value in row.items())
            print(text, flush=True)


def _short(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
