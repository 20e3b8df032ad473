"""From a recipe to a plan, without the compiler."""

import dataclasses
from collections import Counter

import jax
import pytest

from diptych.data.spec import SizeScheduleSpec
from diptych.launch import plan_recipe as engine
from diptych.pretrain.model_flops import flops_by_shape, model_flops
from diptych.pretrain.step_shape import StepShape
from diptych.sharding.hardware import V5E
from diptych.sharding.mesh import abstract_mesh
from diptych.sharding.plan import Plan, Weight
from diptych.sharding.topology import Topology


def uncompiled(traced, mesh, topology, **_):
    weight = Weight(memory=None, needed=0, traffic=(), hbm_bytes=0.0, compile_seconds=0.0)
    return Plan(topology=topology, mesh=dict(mesh.shape), weight=weight, arguments={}, products=Counter())


def test_a_plan_is_of_a_full_step_and_its_days_of_the_mean_one(tiny_recipe, monkeypatch):
    """Until step 15 of 20 images are smaller: what is compiled has all of their patches."""
    monkeypatch.setattr(engine, "plan_step", uncompiled)
    hardware = dataclasses.replace(V5E, platform="cpu")
    here = Topology(name="here:8", hardware=hardware, devices=tuple(jax.devices()), granules=1, compiler="none")
    recipe = tiny_recipe(steps=20, remat="full")
    schedule = SizeScheduleSpec(sizes=(16,), patch_size=8, until=15)
    shorter = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, size_schedule=schedule))
    plain, scheduled = (engine.plan_recipe(each, here) for each in (recipe, shorter))
    mesh = abstract_mesh(replica=1, fsdp=8, tensor=1)
    assert scheduled.model_flops == plain.model_flops == flops_by_shape(shorter, mesh)[StepShape()]
    share = model_flops(shorter, mesh) / scheduled.model_flops
    assert share < 0.8 and scheduled.mean_step == pytest.approx(share) and plain.mean_step == 1
    assert scheduled.speed(1.0)["days"] == pytest.approx(share * plain.speed(1.0)["days"])
    assert scheduled.speed(1.0)["samples_per_second"] == plain.speed(1.0)["samples_per_second"]
