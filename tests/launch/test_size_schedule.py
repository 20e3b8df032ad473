"""Training on images whose size changes from step to step."""

import dataclasses
import json
import math

import pytest

from diptych.data.image_sizes import size_at
from diptych.pretrain.recipe import load_recipe
from diptych.pretrain.spec import EvalSpec
from diptych.pretrain.train import train

STEPS = 4


@pytest.mark.parametrize("choices", ["sizes=16,32", "seq_lens=9,20"])
def test_a_recipe_trains_on_all_sizes_of_its_schedule(tiny_config, tmp_path, choices):
    overrides = [f"data.size_schedule.{choices}", "data.size_schedule.patch_size=8", "mesh.fsdp=1", f"train.steps={STEPS}"]
    recipe = dataclasses.replace(load_recipe(tiny_config, overrides), eval=EvalSpec())
    sizes = {size_at(recipe.data.size_schedule, seed=recipe.seed, step=step) for step in range(STEPS)}
    assert len(sizes) == 2
    train(recipe, tmp_path)
    lines = [line for line in map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines()) if "loss" in line]
    assert len(lines) == STEPS and all(math.isfinite(line["grad_norm"]) for line in lines)
