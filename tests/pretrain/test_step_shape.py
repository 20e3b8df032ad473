"""Schedules that shorten images and captions for a part of training: which shapes a run has, and which settings make none."""

import dataclasses

import pytest

from diptych.data.spec import SizeScheduleSpec, TextScheduleSpec
from diptych.errors import UserError
from diptych.pretrain.check import check
from diptych.pretrain.model_flops import flops_by_shape, model_flops
from diptych.pretrain.step_shape import StepShape, shape_at, shapes_of_run
from diptych.sharding.mesh import abstract_mesh


def scheduled(recipe, *, images=None, texts=None):
    data = dataclasses.replace(recipe.data, size_schedule=images, text_schedule=texts)
    return dataclasses.replace(recipe, data=data)


def test_shares_of_shapes_are_those_of_the_steps(tiny_recipe):
    images = SizeScheduleSpec(sizes=(16, 24), patch_size=8, until=10)
    recipe = scheduled(tiny_recipe(steps=20), images=images, texts=TextScheduleSpec(length=4, until=15))
    wanted = {StepShape(16, 4): 0.25, StepShape(24, 4): 0.25, StepShape(None, 4): 0.25, StepShape(None, None): 0.25}
    assert shapes_of_run(recipe) == wanted
    met = [shape_at(recipe, step) for step in range(20)]
    assert set(met) == set(wanted) and met[10:] == [StepShape(None, 4)] * 5 + [StepShape()] * 5
    assert shapes_of_run(tiny_recipe()) == {StepShape(): 1.0}


def test_flops_of_a_run_are_the_mean_over_its_steps(tiny_recipe, monkeypatch):
    mesh = abstract_mesh(replica=1, fsdp=1, tensor=1)
    recipe = scheduled(tiny_recipe(steps=20), images=SizeScheduleSpec(sizes=(16,), patch_size=8, until=15))
    flops = flops_by_shape(recipe, mesh)
    assert flops[StepShape()] > 2 * flops[StepShape(16)]
    monkeypatch.setattr("diptych.pretrain.model_flops.flops_by_shape", lambda *_: flops)
    assert model_flops(recipe, mesh) == round(0.75 * flops[StepShape(16)] + 0.25 * flops[StepShape()])


@pytest.mark.parametrize(
    ("images", "texts", "sentence"),
    [
        ({"sizes": (16,), "until": 0}, None, "data.size_schedule.until = 0 is out of range; accepted is a step from 1, or none"),
        ({"seq_lens": (9,), "until": 3}, None, "data.size_schedule.until = 3 does not go with data.size_schedule.seq_lens"),
        (None, {"length": 9}, "data.text_schedule.length = 9 is out of range; accepted is 3 to model.text.context_length = 8"),
        (None, {"length": 2}, "data.text_schedule.length = 2 is out of range"),
        (None, {"length": 4, "until": 0}, "data.text_schedule.until = 0 is out of range; accepted is a number from 1"),
        (None, {"length": 4, "reduction": "syntax"}, "data.text_schedule.reduction = 'syntax' is unknown; accepted is truncate or random"),
    ],
)
def test_wrong_schedules_are_answered_in_one_sentence(tiny_recipe, images, texts, sentence):
    recipe = scheduled(
        tiny_recipe(),
        images=images and SizeScheduleSpec(patch_size=8, **images),
        texts=texts and TextScheduleSpec(**texts),
    )
    data = dataclasses.replace(recipe.data, train=("a.tar",))
    with pytest.raises(UserError) as error:
        check(dataclasses.replace(recipe, data=data))
    assert str(error.value).startswith(sentence) and "accepted" in str(error.value)


def test_unicl_compares_captions_that_were_all_cut_alike(tiny_recipe):
    recipe = tiny_recipe()
    data = dataclasses.replace(recipe.data, train=("a.tar",))
    recipe = dataclasses.replace(recipe, data=data, objective=dataclasses.replace(recipe.objective, terms={"unicl": 1.0}))
    check(scheduled(recipe, texts=TextScheduleSpec(length=4)))
    for reduction in ("random", "block"):
        with pytest.raises(UserError, match=f"data.text_schedule.reduction = '{reduction}' cuts equal captions differently.*truncate"):
            check(scheduled(recipe, texts=TextScheduleSpec(length=4, reduction=reduction)))
