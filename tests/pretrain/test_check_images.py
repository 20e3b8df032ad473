import pytest

from diptych.data.decode_fast import check_installed
from diptych.data.image_presets import PRESETS
from diptych.errors import UserError
from diptych.pretrain.recipe import load_recipe

WRONG = [
    ("data.interpolation=lanczos", "data.interpolation = 'lanczos' is unknown; accepted is bicubic or bilinear"),
    ("data.decode.backend=turbo", "data.decode.backend = 'turbo' is unknown; accepted is pillow or pillow_draft or simplejpeg"),
    ("data.decode.resizer=opencv", "data.decode.resizer = 'opencv' is unknown; accepted is pillow or cykooz"),
    ("data.decode.exif=follow", "data.decode.exif = 'follow' is unknown; accepted is ignore or rotate"),
    ("data.decode.max_pixels=0", "data.decode.max_pixels = 0 is out of range; accepted is 1 to 178956970"),
    ("data.decode.max_pixels=178956971", "data.decode.max_pixels = 178956971 is out of range; accepted is 1 to 178956970"),
    ("data.preset=clip", "data.preset = 'clip' is unknown; accepted is openai_clip or"),
    (
        "data.preset=siglip",
        "model.image.mean = (0.48145466, 0.4578275, 0.40821073) does not go with data.preset = siglip; accepted is (0.5,",
    ),
    ("data.augment.crop_ratio=0,1", "data.augment.crop_ratio = (0.0, 1.0) is out of range"),
    ("data.augment.colour_jitter=-1,0,0,0", "data.augment.colour_jitter = (-1.0, 0.0, 0.0, 0.0) is out of range; accepted are four"),
    ("data.augment.colour_jitter=0,0,0,0.6", "data.augment.colour_jitter = (0.0, 0.0, 0.0, 0.6) is out of range"),
    ("data.augment.colour_jitter_p=1.5", "data.augment.colour_jitter_p = 1.5 is out of range; accepted is a number from 0 to 1"),
    ("data.augment.grey=-0.1", "data.augment.grey = -0.1 is out of range; accepted is a number from 0 to 1"),
    ("data.augment.randaugment=2,31", "data.augment.randaugment = (2, 31) is out of range; accepted are 1 to 10 operations and"),
    ("data.augment.randaugment=0,9", "data.augment.randaugment = (0, 9) is out of range"),
    ("data.image_size=8208", "data.image_size = 8208 is out of range; accepted is 1 to 8192"),
    ("data.resize_first=20000", "data.resize_first = 20000 is out of range; accepted is 1 to 8192"),
    ("data.size_schedule.window=4", "data.size_schedule has sizes = () and seq_lens = (); accepted is one of the two"),
]


@pytest.mark.parametrize(("override", "sentence"), WRONG, ids=[override for override, _ in WRONG])
def test_wrong_settings_are_answered_in_one_sentence(override, sentence):
    with pytest.raises(UserError) as error:
        load_recipe("clip_vit_b16", ["data.train=x.tar", override])
    assert str(error.value).startswith(sentence)
    assert "accepted" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["data.size_schedule.sizes=224", "data.size_schedule.seq_lens=196"],
            "data.size_schedule has sizes = (224,) and seq_lens = (196,)",
        ),
        (["data.size_schedule.sizes=224", "data.size_schedule.window=0"], "data.size_schedule.window = 0 is out of range"),
        (
            ["data.size_schedule.sizes=224", "data.size_schedule.patch_size=14"],
            "data.size_schedule.patch_size = 14 differs from model.image.",
        ),
        (["data.size_schedule.sizes=224,230"], "data.size_schedule.sizes = (224, 230) has no multiples of 16"),
        (["data.size_schedule.sizes=224,8208"], "data.size_schedule.sizes = 8208 is out of range; accepted is 1 to 8192"),
        (["data.size_schedule.seq_lens=0"], "data.size_schedule.seq_lens = (0,) is out of range"),
        (
            ["data.size_schedule.seq_lens=262145"],
            "data.size_schedule.seq_lens = (262145,) is out of range; accepted are numbers up to 26",
        ),
    ],
)
def test_sizes_that_cannot_be_trained_with(overrides, sentence):
    with pytest.raises(UserError) as error:
        load_recipe("clip_vit_b16", ["data.train=x.tar", *overrides])
    assert str(error.value).startswith(sentence) and "accepted" in str(error.value)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_goes_with_its_mean_and_std(name):
    preset = PRESETS[name]
    numbers = [f"model.image.{key}={','.join(map(str, value))}" for key, value in (("mean", preset.mean), ("std", preset.std))]
    assert load_recipe("clip_vit_b16", ["data.train=x.tar", f"data.preset={name}", *numbers]).data.preset == name


def test_what_a_preset_cuts_an_image_from_fits_too():
    numbers = ["data.preset=align", "model.image.mean=0.5,0.5,0.5", "model.image.std=0.5,0.5,0.5"]
    with pytest.raises(UserError, match=r"data.image_size = 8192 is out of range; accepted is 1 to 6842"):
        load_recipe("clip_vit_b16", ["data.train=x.tar", "data.image_size=8192", *numbers])
    assert load_recipe("clip_vit_b16", ["data.train=x.tar", "data.image_size=6832", *numbers]).data.image_size == 6832
    assert load_recipe("clip_vit_b16", ["data.train=x.tar", "data.image_size=8192"]).data.image_size == 8192


def test_the_shape_of_a_crop_needs_a_crop():
    numbers = ["data.train=x.tar", "data.augment.crop_ratio=0.75,1.33"]
    with pytest.raises(UserError, match=r"data.augment.crop_ratio = \(0.75, 1.33\) is of a random crop, which data.augment.crop_scale"):
        load_recipe("clip_vit_b16", [*numbers, "data.augment.crop_scale=1,1"])
    assert load_recipe("clip_vit_b16", [*numbers, "data.augment.crop_scale=0.9,1"])


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"data.decode.resizer = cykooz needs the package cykooz-resizer, which is not installed; accepted is"
    ):
        check_installed("cykooz", setting="data.decode.resizer")
    check_installed("pillow", setting="data.decode.resizer")
