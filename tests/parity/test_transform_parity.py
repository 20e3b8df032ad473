"""Images become the pixels of open_clip's, transformers' and torchvision's own transforms, which run here."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from diptych.data.augment import to_grey, turn_hue
from diptych.data.image_presets import PRESETS, preprocessing
from diptych.data.patches import fit_patches, to_patches
from diptych.data.randaugment import OPERATIONS, SIGNED, apply, strength
from diptych.data.spec import DataSpec
from diptych.data.transforms import evaluated, evaluation

if os.environ.get("DIPTYCH_PARITY") != "1":
    pytest.skip("DIPTYCH_PARITY is not 1", allow_module_level=True)
open_clip = pytest.importorskip("open_clip", reason="open_clip is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
from torchvision.transforms import InterpolationMode, autoaugment, functional  # noqa: E402
from torchvision.transforms._presets import ImageClassification  # noqa: E402
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil  # noqa: E402
from transformers.models.efficientnet.image_processing_pil_efficientnet import EfficientNetImageProcessorPil  # noqa: E402
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil  # noqa: E402
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil  # noqa: E402

BILINEAR = Image.Resampling.BILINEAR


def images(count, seed, low=10, high=500):
    """Noise of all shapes, and photograph-like images through JPEG."""
    random = np.random.default_rng(seed)
    for number in range(count):
        height, width = random.integers(low, high, 2)
        image = Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
        if number % 2:
            file = io.BytesIO()
            image.resize((max(1, width // 8), max(1, height // 8))).resize((width, height), Image.Resampling.BICUBIC).save(file, "jpeg")
            image = Image.open(file).convert("RGB")
        yield image


def levels(pixels, mean, std):
    """What a reference normalised, float[3, H, W], as uint8[H, W, 3]."""
    pixels = np.asarray(pixels, np.float64) * np.reshape(std, (3, 1, 1)) + np.reshape(mean, (3, 1, 1))
    found = pixels.transpose(1, 2, 0) * 255
    assert np.abs(found - found.round()).max() < 1e-3, "the reference does not have whole levels"
    return found.round().astype(np.uint8)


@pytest.mark.parametrize("resize", ["shortest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [31, 32, 224])
def test_evaluation_is_open_clips(resize, interpolation, size):
    transform = open_clip.image_transform(
        size, is_train=False, mean=(0, 0, 0), std=(1, 1, 1), resize_mode=resize, interpolation=interpolation
    )
    for image in images(20, size):
        found = np.asarray(evaluation(image, size=size, resize=resize, interpolation=interpolation))
        assert np.array_equal(found, levels(transform(image), (0, 0, 0), (1, 1, 1))), image.size


@pytest.mark.parametrize(
    ("preset", "model", "weights"),
    [
        ("openai_clip", "ViT-B-32", "openai"),
        ("openai_clip", "ViT-B-32", "laion2b_s34b_b79k"),
        ("coca_open_clip", "coca_ViT-B-32", "laion2b_s13b_b90k"),
        ("coca_open_clip", "coca_ViT-L-14", "mscoco_finetuned_laion2b_s13b_b90k"),
        ("siglip", "ViT-B-16-SigLIP", "webli"),
        ("siglip", "ViT-B-16-SigLIP2", "webli"),
    ],
)
def test_presets_are_those_of_open_clips_weights(preset, model, weights):
    theirs, ours = open_clip.get_pretrained_cfg(model, weights), PRESETS[preset]
    assert (theirs["resize_mode"], theirs["interpolation"]) == (ours.resize, ours.interpolation)
    assert tuple(theirs["mean"]) == ours.mean and tuple(theirs["std"]) == ours.std
    transform = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(size=224, **{key: theirs[key] for key in ("resize_mode", "interpolation", "mean", "std")}),
        is_train=False,
    )
    for image in images(10, 1):
        pixels = np.asarray(evaluated(image, DataSpec(image_size=224, preset=preset)))
        assert np.array_equal(pixels, levels(transform(image), ours.mean, ours.std)), image.size


def hf_pixels(processor, image, preset):
    pixels = processor(images=image, return_tensors="np")["pixel_values"][0]
    return levels(pixels, preset.mean, preset.std)


@pytest.mark.parametrize(
    ("preset", "processor", "size"),
    [
        # google/siglip-base-patch16-224 and siglip2-base-patch16-224: the class's settings, and `resample` 2 of the latter
        ("siglip", SiglipImageProcessorPil(), 224),
        ("siglip2", SiglipImageProcessorPil(resample=BILINEAR), 224),
        ("siglip2", SiglipImageProcessorPil(resample=BILINEAR, size={"height": 384, "width": 384}), 384),
        # what transformers' conversion of kakaobrain/align-base wrote
        (
            "align",
            EfficientNetImageProcessorPil(
                do_center_crop=True, rescale_factor=1 / 127.5, rescale_offset=True, do_normalize=False, include_top=False, resample=BILINEAR
            ),
            289,
        ),
    ],
    ids=["siglip", "siglip2", "siglip2-384", "align"],
)
def test_presets_are_those_of_transformers(preset, processor, size):
    for image in images(16, size):
        pixels = np.asarray(evaluated(image, DataSpec(image_size=size, preset=preset)))
        assert np.array_equal(pixels, hf_pixels(processor, image, PRESETS[preset])), image.size


def test_clip_of_transformers_is_openai_clip_but_for_half_a_pixel():
    """transformers cuts the crop's corner down where torchvision, and OpenAI's own code, round to even: 1 pixel apart, one time in four."""
    processor, equal = CLIPImageProcessorPil(), 0
    for image in images(40, 3):
        pixels, theirs = np.asarray(evaluated(image, DataSpec(preset="openai_clip"))), hf_pixels(processor, image, PRESETS["openai_clip"])
        short = min(image.size)
        margins = [int(224 * side / short) - 224 if side != short else 0 for side in image.size]
        if any(margin % 4 == 3 for margin in margins):
            assert not np.array_equal(pixels, theirs)
        else:
            equal += 1
            assert np.array_equal(pixels, theirs), image.size
    assert equal >= 20


@pytest.mark.parametrize("size", [224, 384])
def test_imagenet_is_torchvisions(size):
    ours = PRESETS["imagenet"]
    resize_size = preprocessing(DataSpec(image_size=size, preset="imagenet")).resize_size
    transform = ImageClassification(crop_size=size, resize_size=resize_size)
    for image in images(16, size):
        pixels = np.asarray(evaluated(image, DataSpec(image_size=size, preset="imagenet")))
        assert np.array_equal(pixels, levels(transform(image), ours.mean, ours.std)), image.size


@pytest.mark.parametrize("seq_len", [1, 64, 256, 1024])
def test_patches_are_siglip2_naflex(seq_len):
    processor = Siglip2ImageProcessorPil(max_num_patches=seq_len)
    for image in images(16, seq_len, low=1):
        theirs = processor(images=image, return_tensors="np")
        ours = to_patches(fit_patches(image, patch_size=16, seq_len=seq_len), patch_size=16, seq_len=seq_len)
        rows, columns = theirs["spatial_shapes"][0].tolist()
        assert np.array_equal(ours.mask, theirs["pixel_attention_mask"][0])
        assert ours.yx[ours.mask].max(axis=0).tolist() == [rows - 1, columns - 1]
        pixels = (np.asarray(theirs["pixel_values"][0][ours.mask], np.float64) + 1) * 127.5
        assert np.abs(pixels - ours.pixels[ours.mask]).max() < 1e-3, image.size


def test_randaugment_has_torchvisions_operations_and_ranges():
    for width, height in ((48, 48), (224, 224), (37, 61)):
        space = autoaugment.RandAugment()._augmentation_space(31, (height, width))
        assert list(space) == list(OPERATIONS)
        for name, (magnitudes, signed) in space.items():
            assert signed == (name in SIGNED)
            theirs = [float(value) for value in magnitudes] if magnitudes.ndim else [0.0] * 31
            assert [strength(name, magnitude, (width, height)) for magnitude in range(31)] == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("name", OPERATIONS)
def test_randaugment_operations_are_torchvisions_bit_for_bit(name):
    for image in images(4, 11, low=20, high=90):
        magnitudes, signed = autoaugment.RandAugment()._augmentation_space(31, (image.height, image.width))[name]
        for magnitude in range(31) if magnitudes.ndim else [0]:
            for sign in (1, -1) if signed else (1,):
                argument = sign * (float(magnitudes[magnitude]) if magnitudes.ndim else 0.0)
                theirs = autoaugment._apply_op(image, name, argument, InterpolationMode.NEAREST, None)
                assert np.array_equal(apply(image, name, argument), theirs), (magnitude, sign)


def test_colours_are_torchvisions_bit_for_bit():
    for image in images(6, 12, high=90):
        assert np.array_equal(to_grey(image), functional.rgb_to_grayscale(image, 3))
        for turn in np.linspace(-0.5, 0.5, 23):
            assert np.array_equal(turn_hue(image, turn), functional.adjust_hue(image, turn)), turn


def test_colour_jitter_is_torchvisions_with_the_same_draws(monkeypatch):
    from diptych.data.augment import colour_jitter

    order = [functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation, functional.adjust_hue]
    for number, image in enumerate(images(20, 13, high=90)):
        random = np.random.default_rng(number)
        strengths = (0.8, 0.4, 0.5, 0.2)
        draws = [random.uniform(max(0, 1 - s), 1 + s) for s in strengths[:3]] + [random.uniform(-strengths[3], strengths[3])]
        theirs = image
        for at in random.permutation(4):
            theirs = order[at](theirs, draws[at])
        assert np.array_equal(colour_jitter(image, np.random.default_rng(number), strengths=strengths), theirs)


def test_a_crop_is_torchvisions_resized_crop():
    for image in images(10, 14, low=60):
        theirs = functional.resized_crop(image, 7, 5, 40, 50, [32, 32], InterpolationMode.BICUBIC)
        assert np.array_equal(image.crop((5, 7, 55, 47)).resize((32, 32), Image.Resampling.BICUBIC), theirs)
