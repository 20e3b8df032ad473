"""From a recipe to a plan, without the compiler."""

import dataclasses
from collections import Counter

import jax
import pytest

from diptych.data.spec import SizeScheduleSpec
from diptych.launch import plan_recipe as engine
from diptych.launch.plan_result import RecipePlan, loss_of, time_of
from diptych.pretrain.model_flops import flops_by_shape, model_flops
from diptych.pretrain.step_shape import StepShape
from diptych.sharding.hardware import V5E
from diptych.sharding.measurements import Measurement
from diptych.sharding.memory import Memory
from diptych.sharding.mesh import abstract_mesh
from diptych.sharding.plan import Plan, Weight
from diptych.sharding.topology import Topology
from diptych.sharding.traffic import Traffic

HERE = Topology(name="here:8", hardware=dataclasses.replace(V5E, platform="cpu"), devices=tuple(jax.devices()), granules=1, compiler="none")


def uncompiled(traced, mesh, topology, **_):
    weight = Weight(memory=None, needed=0, traffic=(), hbm_bytes=0.0, compile_seconds=0.0)
    return Plan(topology=topology, mesh=dict(mesh.shape), weight=weight, arguments={}, products=Counter())


def test_a_plan_is_of_a_full_step_and_its_days_of_the_mean_one(tiny_recipe, monkeypatch):
    """Until step 15 of 20 images are smaller: what is compiled has all of their patches."""
    monkeypatch.setattr(engine, "plan_step", uncompiled)
    recipe = tiny_recipe(steps=20, remat="full")
    schedule = SizeScheduleSpec(sizes=(16,), patch_size=8, until=15)
    shorter = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, size_schedule=schedule))
    plain, scheduled = (engine.plan_recipe(each, HERE) for each in (recipe, shorter))
    mesh = abstract_mesh(replica=1, fsdp=8, tensor=1)
    assert scheduled.model_flops == plain.model_flops == flops_by_shape(shorter, mesh)[StepShape()]
    share = model_flops(shorter, mesh) / scheduled.model_flops
    assert share < 0.8 and scheduled.mean_step == pytest.approx(share) and plain.mean_step == 1
    assert scheduled.speed(1.0)["days"] == pytest.approx(share * plain.speed(1.0)["days"])
    assert scheduled.speed(1.0)["samples_per_second"] == plain.speed(1.0)["samples_per_second"]


def test_what_the_loss_sends_and_what_has_no_name_are_told_apart(tiny_recipe):
    def row(scope, mib):
        sizes = {"group": 8, "count": 1, "bytes": 0, "link_bytes": mib * 2**20, "network_bytes": 2**20, "dimensions": 1}
        return Traffic(kind="all-reduce", axes=("fsdp",), scope=scope, **sizes)

    rows = (row("objective_sigmoid", 1), row("objective_softmax", 2), row("", 4), row("image_tower", 8))
    plan = uncompiled(None, abstract_mesh(replica=1, fsdp=8, tensor=1), HERE)
    plan = dataclasses.replace(plan, weight=dataclasses.replace(plan.weight, traffic=rows))
    values = loss_of(RecipePlan(recipe=tiny_recipe(), plan=plan, params=1, model_flops=1))
    assert (values["loss_sent_mib"], values["nameless_sent_mib"]) == (1 + 2 + 2, 4 + 1)


def test_a_measured_mfu_gives_days_beside_those_of_the_roofline(tiny_recipe):
    """4 TFLOPs a step on eight chips of 197 TFLOP/s, of which half is reached; the mean step has a quarter of them less."""
    plan = uncompiled(None, abstract_mesh(replica=1, fsdp=8, tensor=1), HERE)
    memory = Memory(peak=1, arguments=0, temporaries=0, outputs=0, code=0)
    plan = dataclasses.replace(plan, weight=dataclasses.replace(plan.weight, memory=memory, hbm_bytes=V5E.hbm_bandwidth))
    recipe = tiny_recipe(steps=20)
    found = RecipePlan(recipe=recipe, plan=plan, params=1, model_flops=4 * 10**12, mean_step=0.75)
    values = time_of(found, table=[Measurement(date="2026-01-31", hardware="v5e", devices=8, recipe="another", mfu=0.5)])
    seconds = 4 / (0.5 * 8 * 197)
    assert (values["measured_mfu"], values["measured_mfu_recipe"], values["measured_mfu_date"]) == (0.5, "another", "2026-01-31")
    assert values["samples_per_second_at_measured_mfu"] == pytest.approx(recipe.train.batch_size / seconds)
    assert values["days_at_measured_mfu"] == pytest.approx(20 * 0.75 * seconds / 86_400)
    assert values["chip_hours_at_measured_mfu"] == pytest.approx(8 * 24 * values["days_at_measured_mfu"])
    assert values["days"] == pytest.approx(20 * 0.75 / 86_400), "a second of memory traffic"
    assert not [name for name in time_of(found, table=[]) if "measured" in name]
