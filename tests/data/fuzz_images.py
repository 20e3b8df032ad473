"""Mutated images into the decoders: every outcome is an RGB image or BadSample, the same of every backend, soon, and in bounded memory.

`python tests/data/fuzz_images.py --count 12000 --seed 0` prints the counts as JSON; it fails with the seed and number of the first image
that does something else. test_images_fuzz.py runs a slice.
"""

import argparse
import collections
import faulthandler
import io
import json
import resource
import struct
import time
import warnings
import zlib

import numpy as np
from PIL import Image

from diptych.data.bad import BadSample
from diptych.data.decode import decode
from diptych.data.spec import DecodeSpec
from diptych.data.transforms import evaluation

MEMORY = 3 << 30  # bytes of address space: an image of 2^26 pixels takes 256 MiB, twice that while it is converted
SECONDS = 60.0  # for one image and all backends; the largest that are let in take 5 on an idle core
BACKENDS = ("pillow", "pillow_draft", "simplejpeg")
SPECS = {name: DecodeSpec(backend=name, exif="rotate") for name in BACKENDS}


def corpus():
    """(format, bytes) of small sound images: every mode and option that the formats have."""
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (9, 7, 3), dtype=np.uint8))
    photo = noise.resize((90, 70), Image.Resampling.BICUBIC)
    deep = Image.fromarray(random.integers(0, 65536, (40, 30), dtype=np.uint16))
    clear = photo.convert("RGBA")
    clear.putalpha(photo.convert("L"))
    frames = dict(save_all=True, append_images=[photo.rotate(90), photo.rotate(180)])
    exif = Image.Exif()
    exif[0x0112] = 6
    wanted = [
        ("jpeg", photo, dict(quality=90)),
        ("jpeg", photo, dict(quality=75, subsampling=0, exif=exif)),
        ("jpeg", photo, dict(progressive=True)),
        ("jpeg", photo.convert("L"), {}),
        ("jpeg", photo.convert("CMYK"), {}),
        ("jpeg", photo, dict(restart_marker_blocks=2, optimize=True)),
        ("mpo", photo, dict(**frames, exif=exif)),
        ("mpo", photo, dict(**frames, progressive=True)),
        *(("png", photo.convert(mode), {}) for mode in ("RGB", "L", "P", "1", "LA")),
        ("png", clear, {}),
        ("png", deep, {}),
        ("png", photo.quantize(16), dict(transparency=b"\x00\x80")),
        ("png", photo, dict(**frames, exif=exif)),
        ("webp", photo, dict(quality=80)),
        ("webp", clear, dict(lossless=True)),
        ("webp", photo, frames),
        ("gif", photo.quantize(64), {}),
        ("gif", photo.quantize(8), frames),
        *(("bmp", photo.convert(mode), {}) for mode in ("RGB", "L", "1", "RGBA")),
        *(("tiff", photo, dict(compression=kind)) for kind in ("raw", "tiff_lzw", "tiff_deflate", "jpeg")),
        ("tiff", deep, {}),
    ]
    for kind, image, options in wanted:
        file = io.BytesIO()
        image.save(file, kind, **options)
        yield kind, file.getvalue()


def flip_bits(data, random):
    for _ in range(random.integers(1, 17)):
        data[random.integers(len(data))] ^= 1 << int(random.integers(8))


def cut(data, random):
    del data[random.integers(len(data)) :]


def edit_header(data, random):
    for _ in range(random.integers(1, 4)):
        at, size = int(random.integers(min(len(data), 200))), int(random.choice([1, 2, 4]))
        value = random.choice([0, 1, 0x7F, 0x80, 0xFF, int(random.integers(256))], size).astype(np.uint8).tobytes()
        data[at : at + size] = value


def splice(data, random):
    first, second = sorted(random.integers(0, len(data), 2).tolist())
    if random.random() < 0.5:
        del data[first : min(second, first + 50)]
    else:
        data[first:first] = data[first : min(second, first + 50)]


def wipe(data, random):
    at = int(random.integers(len(data)))
    data[at : at + 40] = bytes([random.choice([0, 255])]) * len(data[at : at + 40])


def claim_size(data, random):
    """Another width and height where the format keeps them."""
    width, height = (int(random.choice([0, 1, 91, 300, 5000, 8192, 30000, 65535])) for _ in range(2))
    if data[:2] == b"\xff\xd8":
        at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
        data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    elif data[:4] == b"\x89PNG":
        data[16:24] = struct.pack(">II", width, height)
    elif data[:3] == b"GIF":
        data[6:10] = struct.pack("<HH", width, height)
    elif data[:2] == b"BM":
        data[18:26] = struct.pack("<ii", width, -height if random.random() < 0.3 else height)
    else:
        edit_header(data, random)


MUTATIONS = (flip_bits, cut, edit_header, splice, wipe, claim_size)


def mend_checksums(data):
    """A PNG with the right checksum on every chunk, so that the decoder reads on."""
    at = 8
    while data[:4] == b"\x89PNG" and at + 12 <= len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        end = at + 8 + size
        if end + 4 > len(data):
            return
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4


def mutated(images, seed, number):
    """(format, mutation, bytes) of image `number`."""
    random = np.random.default_rng([seed, number])
    kind, sound = images[random.integers(len(images))]
    data = bytearray(sound)
    mutation = MUTATIONS[random.integers(len(MUTATIONS))]
    mutation(data, random)
    if random.random() < 0.7:
        mend_checksums(data)
    return kind, mutation.__name__, bytes(data)


def outcome(data, spec, needed=None):
    """The image as an array, or None where it is bad."""
    try:
        image = decode(data, spec, needed=needed)
    except BadSample:
        return None
    assert image.mode == "RGB" and min(image.size) > 0, image
    pixels = np.asarray(image)
    try:
        assert evaluation(image, size=16, resize="shortest").size == (16, 16)
    except BadSample as bad:
        assert "too elongated" in bad.reason
    return pixels


def one(data):
    """Whether the image is good; asserts what must hold."""
    reference = outcome(data, SPECS["pillow"])
    for name in BACKENDS[1:] if data[:2] == b"\xff\xd8" else ():
        whole = outcome(data, SPECS[name])
        assert (whole is None) == (reference is None), f"{name} does not agree on whether the image is bad"
        assert whole is None or np.array_equal(whole, reference), f"{name} has other pixels"
        assert (outcome(data, SPECS[name], needed=20) is None) == (reference is None), f"{name}, scaled, does not agree"
    return reference is not None


def fuzz(count, seed):
    """{"good", "bad", "slowest_s", "memory_mb", and counts by format and mutation} of `count` images."""
    images, counts, slowest = list(corpus()), collections.Counter(), 0.0
    assert all(outcome(data, SPECS["pillow"]) is not None for _, data in images)
    for number in range(count):
        kind, mutation, data = mutated(images, seed, number)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        start = time.process_time()
        try:
            verdict = "good" if one(data) else "bad"
        except BaseException as error:
            raise AssertionError(f"seed {seed}, number {number}: {kind}, {mutation}") from error
        slowest = max(slowest, time.process_time() - start)
        faulthandler.cancel_dump_traceback_later()
        counts.update((verdict, f"{kind} {verdict}", f"{mutation} {verdict}"))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"images": count, "slowest_s": round(slowest, 2), "memory_mb": round(memory), **dict(sorted(counts.items()))}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=12000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # Pillow warns of what it mends
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    print(json.dumps(fuzz(options.count, options.seed)))
