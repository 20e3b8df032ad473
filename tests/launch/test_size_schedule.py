"""Training on images whose size changes from step to step."""

import dataclasses
import json
import math

import pytest

from diptych.data.image_sizes import size_at
from diptych.pretrain.job import Job
from diptych.pretrain.recipe import load_recipe
from diptych.pretrain.run import prepare
from diptych.pretrain.spec import EvalSpec
from diptych.pretrain.step import batch_shapes
from diptych.pretrain.step_shape import shape_at
from diptych.pretrain.train import train
from diptych.sharding.mesh import abstract_mesh

STEPS = 4


@pytest.mark.parametrize("choices", ["sizes=16,32", "seq_lens=9,20"])
def test_a_recipe_trains_on_all_sizes_of_its_schedule(tiny_config, tmp_path, choices):
    overrides = [f"data.size_schedule.{choices}", "data.size_schedule.patch_size=8", "mesh.fsdp=1", f"train.steps={STEPS}"]
    recipe = dataclasses.replace(load_recipe(tiny_config, overrides), eval=EvalSpec())
    sizes = {size_at(recipe.data.size_schedule, seed=recipe.seed, step=step, full=32) for step in range(STEPS)}
    assert len(sizes) == 2
    train(recipe, tmp_path)
    lines = [line for line in map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines()) if "loss" in line]
    assert len(lines) == STEPS and all(math.isfinite(line["grad_norm"]) for line in lines)


def test_small_images_and_short_captions_come_first_and_whole_ones_last(tiny_config, tmp_path):
    images = ["data.size_schedule.sizes=16", "data.size_schedule.patch_size=8", "data.size_schedule.until=50%"]
    texts = ["data.text_schedule.length=8", "data.text_schedule.reduction=block", "data.text_schedule.until=75%"]
    recipe = dataclasses.replace(load_recipe(tiny_config, [*images, *texts, "mesh.fsdp=1", f"train.steps={STEPS}"]), eval=EvalSpec())
    stream = prepare(recipe, tmp_path, job=Job()).stream(0)
    batches = [next(stream) for _ in range(STEPS)]
    stream.close()
    seen = [(batch["image"].shape[1], batch["text"].shape[1]) for batch in batches]
    assert seen == [(16, 8), (16, 8), (32, 8), (32, 24)]
    whole = abstract_mesh(replica=1, fsdp=1, tensor=1)
    for step, batch in enumerate(batches):
        planned = batch_shapes(recipe, whole, shape=shape_at(recipe, step))
        assert {name: batch[name].shape for name in planned} == {name: array.shape for name, array in planned.items()}
