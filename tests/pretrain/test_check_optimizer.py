import pytest

from diptych.errors import UserError
from diptych.pretrain.recipe import load_recipe

WRONG = {
    ("optimizer.name=sgd",): "optimizer.name = 'sgd' is unknown; accepted is adamw or adafactor or lion or muon or lamb",
    ("optimizer.moment_dtype=float16",): "optimizer.moment_dtype = 'float16' is unknown; accepted is float32 or bfloat16, or none",
    ("optimizer.cooldown_steps=10%",): "optimizer.cooldown_steps = 40 does not go with optimizer.schedule = cosine, which ends by itself",
    ("optimizer.schedule=constant", "optimizer.final_fraction=0.1"): "optimizer.final_fraction = 0.1 does not go with optimizer.schedule",
    (
        *("optimizer.schedule=constant", "optimizer.decay_steps=90", "optimizer.cooldown_steps=50"),
    ): "optimizer.warmup_steps = 50 with optimizer.cooldown_steps = 50 is more than optimizer.decay_steps = 90; "
    "accepted is optimizer.warmup_steps up to 40, or a larger optimizer.decay_steps",
    (
        *("optimizer.schedule=rsqrt", "optimizer.cooldown_steps=90%"),
    ): "optimizer.warmup_steps = 50 with optimizer.cooldown_steps = 360 is more than train.steps = 400; "
    "accepted is optimizer.warmup_steps up to 40, or a larger train.steps",
    (
        *("optimizer.schedule=constant", "optimizer.cooldown_steps=10%", "train.steps=20"),
    ): "optimizer.warmup_steps = 50 with optimizer.cooldown_steps = 2 is more than train.steps = 20; "
    "accepted is optimizer.warmup_steps up to 18, or a larger train.steps",
    (
        *("optimizer.schedule=constant", "optimizer.cooldown_steps=30", "train.steps=20"),
    ): "optimizer.warmup_steps = 50 with optimizer.cooldown_steps = 30 is more than train.steps = 20; "
    "accepted is optimizer.cooldown_steps up to 20, or a larger train.steps",
    ("optimizer.decay_steps=40",): "optimizer.warmup_steps = 50 is more than optimizer.decay_steps = 40; "
    "accepted is optimizer.warmup_steps up to 40, or a larger optimizer.decay_steps",
    ("optimizer.final_fraction=2",): "optimizer.final_fraction = 2.0 is out of range; accepted is a number from 0 to 1",
    ("optimizer.layer_decay=1.5",): "optimizer.layer_decay = 1.5 is out of range; accepted is a number above 0, at most 1",
    ("optimizer.layer_decay=0",): "optimizer.layer_decay = 0.0 is out of range; accepted is a number above 0",
    ("optimizer.adafactor.beta2_cap=1",): "optimizer.adafactor.beta2_cap = 1.0 is out of range; accepted is a number from 0 to below 1",
    ("optimizer.muon.momentum=-1",): "optimizer.muon.momentum = -1.0 is out of range",
    ("optimizer.lr_multipliers=[('model(', 0.1)]",): "optimizer.lr_multipliers has 'model(' (",
    ("optimizer.lr_multipliers=[('model', 0)]",): "optimizer.lr_multipliers[0][1] = 0.0 is out of range; accepted is a number above 0",
    ("optimizer.decay_multipliers=[('model', -1)]",): "optimizer.decay_multipliers[0][1] = -1.0 is out of range",
    ("optimizer.freeze=*",): "optimizer.freeze has '*' (",
    (
        *("optimizer.schedule=rsqrt", "optimizer.warmup_steps=0"),
    ): "optimizer.timescale_steps = None does not go with optimizer.schedule = rsqrt and optimizer.warmup_steps = 0; accepted is",
    ("optimizer.timescale_steps=10",): "optimizer.timescale_steps = 10 does not go with optimizer.schedule = cosine; accepted is none",
    (
        *("optimizer.schedule=constant", "optimizer.decay_steps=90"),
    ): "optimizer.decay_steps = 90 does not go with optimizer.schedule = constant without optimizer.cooldown_steps; accepted is none",
    ("optimizer.name=muon", "optimizer.muon.hidden=[]"): "optimizer.muon.hidden = () does not go with optimizer.name = muon; accepted are",
    ("optimizer.timescale_steps=0",): "optimizer.timescale_steps = 0 is out of range",
}


@pytest.mark.parametrize("overrides", WRONG, ids=" ".join)
def test_wrong_settings_are_answered_in_one_sentence(overrides):
    with pytest.raises(UserError) as answer:
        load_recipe("clip_emoji", overrides)
    assert str(answer.value).startswith(WRONG[overrides])
    assert "accepted" in str(answer.value) and "\n" not in str(answer.value)


def test_a_trial_run_may_end_within_the_warm_up():
    assert load_recipe("clip_emoji", ["train.steps=5"]).optimizer.warmup_steps == 50


def test_settings_that_go_together():
    overrides = ("schedule=rsqrt", "cooldown_steps=20%", "timescale_steps=1e4 samples", "final_fraction=0.1", "grad_clip=none", "name=muon")
    optimizer = load_recipe("clip_emoji", [f"optimizer.{override}" for override in overrides]).optimizer
    assert (optimizer.cooldown_steps, optimizer.timescale_steps, optimizer.grad_clip) == (80, 39, None)
