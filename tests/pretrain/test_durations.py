import pytest

from diptych.errors import UserError
from diptych.pretrain.durations import in_steps
from diptych.pretrain.recipe import load_recipe
from diptych.pretrain.spec import Recipe
from diptych.schema import duration_paths

DURATIONS = {
    "train.steps",
    *("optimizer.warmup_steps", "optimizer.decay_steps", "optimizer.cooldown_steps", "optimizer.timescale_steps"),
    *("eval.every", "checkpoint.every", "checkpoint.keep_every", "log.every"),
}


def test_what_is_a_duration():
    assert duration_paths(Recipe) >= DURATIONS


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("2000", 2000),
        ("2_000 steps", 2000),
        ("1 step", 1),
        ("1e6 samples", 10_000),
        ("149 samples", 1),
        ("151 samples", 2),
        ("1 sample", 1),
        ("0 samples", 0),
        ("0%", 0),
        ("5%", 30),
        ("12.5 %", 75),
        ("100%", 600),
        ("1 epoch", 25),
        ("0.5 epochs", 12),
        (77, 77),
        (None, None),
    ],
)
def test_units(text, steps):
    values = {"train": {"batch_size": 100, "steps": "60_000 samples"}, "data": {"epoch_samples": 2500}, "optimizer": {"warmup_steps": text}}
    resolved = in_steps(values)
    assert resolved["optimizer"]["warmup_steps"] == steps
    assert resolved["train"]["steps"] == 600
    assert values["train"]["steps"] == "60_000 samples"


@pytest.mark.parametrize(
    ("setting", "text", "sentence"),
    [
        (
            "optimizer.warmup_steps",
            "5 hours",
            "optimizer.warmup_steps = '5 hours' is no duration; accepted is a number of steps, or a text",
        ),
        ("optimizer.warmup_steps", "-5%", "optimizer.warmup_steps = '-5%' is no duration"),
        ("optimizer.warmup_steps", "1.5 steps", "optimizer.warmup_steps = '1.5 steps' is no whole number of steps"),
        ("train.steps", "5%", "train.steps = '5%' is a share of itself; accepted are steps, samples or epochs"),
        ("eval.every", "", "eval.every = '' is no duration"),
        ("optimizer.cooldown_steps", "11%", "optimizer.cooldown_steps = 42969 does not go with optimizer.schedule = cosine"),
        ("optimizer.warmup_steps", "110%", "optimizer.warmup_steps = '110%' is more than train.steps; accepted is at most 100%"),
        ("seed", "5%", "seed = '5%' has the wrong type; accepted is an integer"),
    ],
)
def test_what_is_no_duration(setting, text, sentence):
    with pytest.raises(UserError) as answer:
        load_recipe("clip_vit_b32", [f"{setting}={text}"])
    assert str(answer.value).startswith(sentence)


def test_overrides_and_recipes_take_them():
    settings = [
        "train.steps=32 epochs",
        "data.epoch_samples=400_000_000",
        "optimizer.warmup_steps=1%",
        "eval.every=1 epoch",
        "log.every=1e6 samples",
    ]
    recipe = load_recipe("clip_vit_b32", settings)
    assert (recipe.train.steps, recipe.optimizer.warmup_steps) == (390_625, 3906)
    assert (recipe.eval.every, recipe.log.every) == (12_207, 31)


def test_an_epoch_is_what_the_sources_hold(tiny_config):
    recipe = load_recipe(tiny_config, ["train.steps=2.5 epochs"])  # 256 samples in batches of 32
    assert recipe.train.steps == 20
