"""Images/s of one core, and the difference in pixels, of every decoder and resizer: from JPEG bytes to a 224-pixel crop.

    python benchmarks/image_backends.py                     # the table in docs/data.md
    python benchmarks/image_backends.py --save pillow.npz   # ... and keep JPEGs and reference pixels
    python benchmarks/image_backends.py --against pillow.npz  # where another Pillow is installed (pillow-simd): compared with those
    python benchmarks/image_backends.py --tars SHARD...     # ... and the difference on real photographs, to a quarter of their shorter side

Images are noise of amplitude 1/f^1.6: JPEGs of 47 kB at 500x400 and quality 90, about a photograph's. Rates are medians of
interleaved rounds of process time.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import itertools
import statistics
import tarfile
import time
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from diptych.data.decode import decode_picture
from diptych.data.decode_fast import pillow_name
from diptych.data.order import generator
from diptych.data.spec import AugmentSpec, DataSpec, DecodeSpec
from diptych.data.transforms import augmented, needed_side, prepare

SIZES = ((500, 400, 90), (1280, 960, 90), (256, 256, 95))  # width, height, JPEG quality
CROP = AugmentSpec(crop_scale=(0.9, 1.0), crop_ratio=(3 / 4, 4 / 3))  # open_clip's
IMAGES, ROUNDS = 6, 7
BACKENDS = tuple(itertools.product(("pillow", "pillow_draft", "simplejpeg"), ("pillow", "cykooz")))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """rates: images/s. errors: of the evaluation transform's pixels, against the reference, of each size of image."""

    rates: list[float]
    errors: list[str]


def photograph(width: int, height: int, *, seed: int) -> Image.Image:
    """Noise of amplitude 1/f^1.6 in three correlated channels."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    frequency[0, 0] = 1
    planes = [np.fft.ifft2(np.fft.fft2(random.normal(size=(height, width))) / frequency**1.6).real for _ in range(4)]
    pixels = np.stack([planes[3] + 0.4 * plane for plane in planes[:3]], axis=2)
    return Image.fromarray((128 + 52 * (pixels - pixels.mean()) / pixels.std()).clip(0, 255).astype(np.uint8))


def jpegs(width: int, height: int, quality: int) -> list[bytes]:
    found = []
    for seed in range(IMAGES):
        file = io.BytesIO()
        photograph(width, height, seed=seed).save(file, "jpeg", quality=quality)
        found.append(file.getvalue())
    return found


def photographs(tars: Sequence[str]) -> list[bytes]:
    """The JPEGs of shards."""
    found = []
    for path in tars:
        with tarfile.open(path) as tar:
            members = [member for member in tar if member.name.endswith(".jpg")]
            found += [tar.extractfile(member).read() for member in members]  # type: ignore[union-attr]
    return found


def transform(backend: str, resizer: str, augment: AugmentSpec, *, size: int = 224) -> Callable[[bytes, int], np.ndarray]:
    spec = DataSpec(image_size=size, decode=DecodeSpec(backend=backend, resizer=resizer), augment=augment)

    def apply(data: bytes, position: int) -> np.ndarray:
        image = prepare(decode_picture(data, spec.decode, needed=needed_side(spec)), spec)
        return np.asarray(augmented(image, spec, generator(0, position, "augment")))

    return apply


def rates(data: Sequence[bytes]) -> list[float]:
    """Images/s of each backend."""
    transforms = [transform(backend, resizer, CROP) for backend, resizer in BACKENDS]
    seconds: list[list[float]] = [[] for _ in transforms]
    for _ in range(ROUNDS):
        for taken, apply in zip(seconds, transforms):
            start = time.process_time()
            for position, image in enumerate(data):
                apply(image, position)
            taken.append(time.process_time() - start)
    return [len(data) / statistics.median(taken) for taken in seconds]


def errors(data: Sequence[bytes], reference: np.ndarray, *, size: int = 224) -> list[str]:
    """`mean / max / PSNR` in levels and dB of each backend."""
    found = []
    for backend, resizer in BACKENDS:
        apply = transform(backend, resizer, AugmentSpec(), size=size)
        error = np.stack([apply(image, 0) for image in data]).astype(int) - reference
        square = (error.astype(float) ** 2).mean()
        psnr = f"{10 * np.log10(255**2 / square):.1f}" if square else "-"
        found.append("the same" if not square else f"{abs(error).mean():.3f} / {abs(error).max()} / {psnr}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", help="file for the JPEGs and the reference's pixels")
    parser.add_argument("--against", help="such a file, of another Pillow")
    parser.add_argument("--tars", nargs="+", default=[], help="shards with JPEGs")
    options = parser.parse_args()
    stored = dict(np.load(options.against)) if options.against else {}
    rows = [Row(rates=[], errors=[]) for _ in BACKENDS]
    for number, dimensions in enumerate(SIZES):
        data = [stored[f"jpeg{number}-{at}"].tobytes() for at in range(IMAGES)] if options.against else jpegs(*dimensions)
        apply = transform("pillow", "pillow", AugmentSpec())
        reference = stored[f"pixels{number}"] if options.against else np.stack([apply(image, 0) for image in data])
        for row, rate, error in zip(rows, rates(data), errors(data, reference)):
            row.rates.append(rate)
            row.errors.append(error)
        if options.save:
            stored |= {f"jpeg{number}-{at}": np.frombuffer(image, np.uint8) for at, image in enumerate(data)}
            stored[f"pixels{number}"] = reference
    if options.save:
        np.savez(options.save, allow_pickle=False, **stored)
    names = [f"{width}x{height} q{quality}" for width, height, quality in SIZES]
    print(f"{pillow_name()}; images/s of one core, and mean / max (levels) / PSNR (dB) of evaluation's pixels against Pillow's\n")
    print(f"| backend | resizer | {' | '.join(names)} | {' | '.join(names)} |")
    print(f"|---|---|{'--:|' * 2 * len(SIZES)}")
    for (backend, resizer), row in zip(BACKENDS, rows):
        print(f"| {backend} | {resizer} | {' | '.join(f'{rate:,.0f}' for rate in row.rates)} | {' | '.join(row.errors)} |")
    if options.tars:
        data = photographs(options.tars)
        size = min(Image.open(io.BytesIO(data[0])).size) // 4
        apply = transform("pillow", "pillow", AugmentSpec(), size=size)
        found = errors(data, np.stack([apply(image, 0) for image in data]), size=size)
        print(f"\n{len(data)} photographs to {size} pixels")
        for (backend, resizer), error in zip(BACKENDS, found):
            print(f"{backend}, {resizer}: {error}")


if __name__ == "__main__":
    main()
