"""What the decoders make of images as they are found on the web, in every backend."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from diptych.data.bad import BadSample
from diptych.data.decode import decode, to_rgb
from diptych.data.decode_fast import decode_simplejpeg, image_versions, pillow_name
from diptych.data.spec import DecodeSpec

BACKENDS = ["pillow", "pillow_draft", "simplejpeg"]


def photo(width, height, seed=0):
    """Smooth colours with a little noise, as photographs have."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray((smooth + random.integers(-4, 5, smooth.shape)).clip(0, 255).astype(np.uint8))


def encoded(image, format="jpeg", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def plain(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [(64, 48), (33, 17), (1, 1), (2, 500)])
@pytest.mark.parametrize("kind", ["rgb", "grey", "cmyk", "progressive", "no subsampling"])
def test_whole_jpegs_are_the_references_pixels(backend, size, kind):
    image = {"grey": photo(*size).convert("L"), "cmyk": photo(*size).convert("CMYK")}.get(kind, photo(*size))
    options = {"progressive": {"progressive": True}, "no subsampling": {"subsampling": 0}}.get(kind, {})
    data = encoded(image, **options)
    assert np.array_equal(decode(data, DecodeSpec(backend=backend)), plain(data))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["cut", "no end", "a byte", "png named jpg", "empty"])
def test_the_same_images_are_bad_in_every_backend(backend, name):
    jpeg = encoded(photo(64, 64))
    data = {
        "cut": jpeg[: len(jpeg) // 2],
        "no end": jpeg[:-2],
        "a byte": jpeg[:1],
        "png named jpg": encoded(photo(9, 9), "png"),
        "empty": b"",
    }[name]
    if name == "png named jpg":
        assert decode(data, DecodeSpec(backend=backend), needed=4).size == (9, 9)
    else:
        with pytest.raises(BadSample, match="cannot be decoded"):
            decode(data, DecodeSpec(backend=backend), needed=16)


@pytest.mark.parametrize("backend", BACKENDS)
def test_where_libjpeg_warns_the_reference_decides(backend):
    jpeg = bytearray(encoded(photo(96, 96), quality=95))
    jpeg[len(jpeg) // 2 : len(jpeg) // 2 + 40] = bytes(40)
    assert decode_simplejpeg(bytes(jpeg), size=(96, 96), needed=None) is None
    assert np.array_equal(decode(bytes(jpeg), DecodeSpec(backend=backend)), plain(bytes(jpeg)))


def test_another_size_than_the_header_that_was_judged_is_not_decoded():
    data = encoded(photo(64, 48))
    assert decode_simplejpeg(data, size=(64, 48), needed=None).shape == (48, 64, 3)
    assert decode_simplejpeg(data, size=(48, 64), needed=None) is None


def test_a_scaled_decode_leaves_what_is_needed_and_no_more_than_it_must():
    data = encoded(photo(400, 320))
    sizes = {needed: decode(data, DecodeSpec(backend="simplejpeg"), needed=needed).size for needed in (1, 40, 41, 100, 161, 320, 999)}
    assert sizes == {1: (50, 40), 40: (50, 40), 41: (100, 80), 100: (150, 120), 161: (250, 200), 320: (400, 320), 999: (400, 320)}
    sizes = {needed: decode(data, DecodeSpec(backend="pillow_draft"), needed=needed).size for needed in (40, 41, 160, 161, 999)}
    assert sizes == {40: (50, 40), 41: (100, 80), 160: (200, 160), 161: (400, 320), 999: (400, 320)}
    assert decode(data, DecodeSpec(), needed=40).size == (400, 320)


@pytest.mark.parametrize("backend", ["pillow_draft", "simplejpeg"])
def test_a_scaled_decode_at_twice_the_target_is_close(backend):
    image = photo(512, 512)
    data = encoded(image, quality=92)
    reference = np.asarray(decode(data).resize((128, 128), Image.Resampling.BICUBIC)).astype(float)
    scaled = decode(data, DecodeSpec(backend=backend), needed=256)
    assert scaled.size == (256, 256)
    error = np.asarray(scaled.resize((128, 128), Image.Resampling.BICUBIC)) - reference
    assert 10 * np.log10(255**2 / (error**2).mean()) > 38


@pytest.mark.parametrize(("format", "backend"), [*(("jpeg", backend) for backend in BACKENDS), ("png", "pillow"), ("webp", "pillow")])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_ignored_or_followed(format, backend, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"webp": {"lossless": True}}.get(format, {})
    data = encoded(photo(24, 16), format, exif=exif, **options)
    lying = decode(data, DecodeSpec(backend=backend))
    assert np.array_equal(lying, plain(encoded(photo(24, 16), format, **options)))
    # by the definition of the tag: where row 0 and column 0 of the stored picture are in the upright one
    turns = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a),
    }
    upright = decode(data, DecodeSpec(backend=backend, exif="rotate"))
    assert np.array_equal(upright, turns[orientation](np.asarray(lying)))
    assert np.array_equal(to_rgb(Image.open(io.BytesIO(data)), exif="rotate"), upright)


def test_a_tiff_is_upright_in_any_case():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(photo(24, 16), "tiff", exif=exif)
    for policy in ("ignore", "rotate"):  # Pillow turns it while it decodes
        assert np.array_equal(decode(data, DecodeSpec(exif=policy)), np.rot90(photo(24, 16), -1))


def test_broken_orientation_is_no_reason_to_lose_an_image():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(photo(24, 16), exif=exif)
    at = data.index(b"Exif\0\0") + 6
    broken = data[:at] + b"\xff" * 8 + data[at + 8 :]
    assert np.array_equal(decode(broken, DecodeSpec(exif="rotate")), plain(data))


def test_grey_of_16_bits_keeps_its_high_byte():
    deep = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    for format in ("png", "tiff"):
        pixels = np.asarray(decode(encoded(Image.fromarray(deep), format)))
        assert np.array_equal(pixels, np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, axis=2)), format


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_grey_of_32_bits_is_bad(kind):
    deep = np.arange(0, 65536, 257).reshape(16, 16)
    data = encoded(Image.fromarray((deep if kind == np.int32 else deep / 65535).astype(kind)), "tiff")
    assert Image.open(io.BytesIO(data)).mode in ("I", "F")
    with pytest.raises(BadSample, match="image has 32 bits a channel"):
        decode(data)


def test_colours_of_16_bits_keep_their_high_byte():
    deep = np.arange(0, 65536, 86, dtype=np.uint16)[:756].reshape(14, 18, 3)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 18, 14, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(c)) + name + c + struct.pack(">I", zlib.crc32(name + c)) for name, c in chunks)
    assert np.array_equal(decode(b"\x89PNG\r\n\x1a\n" + body), (deep >> 8).astype(np.uint8))


def test_alpha_is_dropped():
    pixels = np.asarray(photo(20, 10))
    alpha = np.full((10, 20, 1), 3, np.uint8)
    assert np.array_equal(decode(encoded(Image.fromarray(np.concatenate([pixels, alpha], axis=2)), "png")), pixels)


def test_a_palette_gives_its_colours():
    image = photo(20, 10).quantize(7)
    image.info["transparency"] = 2
    assert np.array_equal(decode(encoded(image, "png", transparency=2)), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("format", ["gif", "png", "webp", "tiff"])
def test_of_an_animation_the_first_frame_is_taken(format):
    frames = [Image.new("RGB", (16, 12), colour) for colour in ("red", "green", "blue")]
    options = {"webp": {"lossless": True}}.get(format, {})
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert np.array_equal(decode(data), frames[0])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("format", ["jpeg", "png", "gif", "bmp", "webp"])
def test_bombs_are_refused_by_their_header(backend, format, monkeypatch):
    data = encoded(Image.new("RGB", (300, 200)), format)
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("the pixels were decoded"))
    monkeypatch.setattr("simplejpeg.decode_jpeg", lambda *args, **options: pytest.fail("the pixels were decoded"))
    with pytest.raises(BadSample, match="image of 300 x 200 pixels is too large"):
        decode(data, DecodeSpec(backend=backend, max_pixels=300 * 200 - 1), needed=20)


def test_the_limit_itself_is_let_in():
    assert decode(encoded(Image.new("L", (30, 20)), "png"), DecodeSpec(max_pixels=600)).size == (30, 20)


def two_frames(**options):
    """A photograph with a smaller one behind it, as cameras write them."""
    data = encoded(photo(64, 48), "mpo", save_all=True, append_images=[photo(16, 16, seed=1)], **options)
    assert Image.open(io.BytesIO(data), formats=("JPEG",)).format == "MPO"
    return data


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["jpeg", "mpo"])
def test_a_jpeg_of_endless_scans_is_refused(backend, kind):
    data = two_frames(progressive=True) if kind == "mpo" else encoded(photo(64, 64), progressive=True)
    end = data.index(b"\xff\xd9")
    scan = data[data.rindex(b"\xff\xda", 0, end) : end]
    assert decode(data, DecodeSpec(backend=backend))
    with pytest.raises(BadSample, match="more than 100 scans"):
        decode(data[:end] + scan * 100 + data[end:], DecodeSpec(backend=backend))


@pytest.mark.parametrize("backend", BACKENDS)
def test_of_several_jpegs_in_one_the_first_is_taken_by_the_backend(backend, monkeypatch):
    data = two_frames(quality=92)
    assert np.array_equal(decode(data, DecodeSpec(backend=backend)), plain(data))
    sizes = {"pillow": (64, 48), "pillow_draft": (32, 24), "simplejpeg": (32, 24)}
    assert decode(data, DecodeSpec(backend=backend), needed=24).size == sizes[backend]


def test_formats_that_start_programs_are_not_images():
    with pytest.raises(BadSample, match="cannot be decoded"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")


def test_the_installed_pillow_is_named(monkeypatch):
    import PIL

    assert pillow_name() == f"pillow {PIL.__version__}"
    monkeypatch.setattr("importlib.metadata.version", lambda name: PIL.__version__)
    assert pillow_name() == f"pillow-simd {PIL.__version__}"


def test_what_pixels_depend_on_is_named():
    found = image_versions()
    assert found.keys() == {"pillow", "simplejpeg", "cykooz-resizer"} and found["pillow"] == pillow_name()


def test_a_run_is_described_where_pillow_simd_stands_in_pillows_place(monkeypatch):
    from importlib import metadata

    import PIL

    from diptych.pretrain.run_folder import versions

    def version(name, original=metadata.version):
        if name == "pillow":
            raise metadata.PackageNotFoundError(name)
        return PIL.__version__ if name == "pillow-simd" else original(name)

    monkeypatch.setattr(metadata, "version", version)
    assert versions()["pillow"] == f"pillow-simd {PIL.__version__}"
