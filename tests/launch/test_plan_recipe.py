"""From a recipe to a plan, without the compiler."""

import dataclasses
from collections import Counter

import jax
import pytest

from diptych.data.spec import SizeScheduleSpec
from diptych.launch import plan_recipe as engine
from diptych.launch.plan_result import RecipePlan, loss_of, time_of, values_of
from diptych.pretrain.lowering import trace_step
from diptych.pretrain.model_flops import flops_by_shape
from diptych.pretrain.step_shape import StepShape, shapes_of_run
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


@pytest.fixture
def traced(monkeypatch):
    """Plans whose steps are not traced; the shapes that they would have."""
    shapes = []
    monkeypatch.setattr(engine, "trace_step", lambda recipe, mesh, shape: shapes.append(shape))
    monkeypatch.setattr(engine, "plan_step", uncompiled)
    return shapes


def scheduled(recipe, **schedule):
    return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, size_schedule=SizeScheduleSpec(patch_size=8, **schedule)))


def test_a_plan_is_of_a_full_step_and_its_days_of_the_mean_one(tiny_recipe, traced):
    """Until step 15 of 20 images are smaller: what is compiled has all of their patches."""
    recipe = tiny_recipe(steps=20, remat="full")
    plain, shorter = (engine.plan_recipe(each, HERE) for each in (recipe, scheduled(recipe, sizes=(16,), until=15)))
    assert traced == [StepShape(), StepShape()] and shorter.model_flops == plain.model_flops
    small = flops_by_shape(scheduled(recipe, sizes=(16,)), abstract_mesh(replica=1, fsdp=8, tensor=1))[StepShape(16)]
    share = 0.75 * small / plain.model_flops + 0.25
    assert share < 0.8 and shorter.mean_step == pytest.approx(share) and plain.mean_step == 1
    assert shorter.speed(1.0)["days"] == pytest.approx(share * plain.speed(1.0)["days"])
    assert shorter.speed(1.0)["samples_per_second"] == plain.speed(1.0)["samples_per_second"]


@pytest.mark.parametrize(
    ("schedule", "name", "rows"), [({"sizes": (16, 48)}, "image", (48, 48, 3)), ({"seq_lens": (9, 20)}, "patches", (20, 192))]
)
def test_a_plan_is_of_the_largest_step_that_the_run_has(tiny_recipe, traced, monkeypatch, schedule, name, rows):
    """No step has `data.image_size` here: a plan of that size would say too little memory."""
    monkeypatch.setattr(engine, "flops_by_shape", lambda recipe, mesh: {shape: shape.size**2 for shape in shapes_of_run(recipe)})
    recipe = scheduled(tiny_recipe(remat="full"), **schedule)
    plan = engine.plan_recipe(recipe, HERE)
    [(few, many)] = schedule.values()
    assert traced == [plan.shape] == [StepShape(many)] and plan.model_flops == many**2
    assert plan.mean_step == pytest.approx((few**2 + many**2) / 2 / many**2)
    assert values_of(plan)["batch_shapes"][name] == [recipe.train.batch_size, *rows]


def test_a_step_is_traced_with_the_shape_that_it_is_given(tiny_recipe):
    recipe = scheduled(tiny_recipe(remat="full"), seq_lens=(9, 20))
    _, batch = trace_step(recipe, abstract_mesh(replica=1, fsdp=8, tensor=1), shape=StepShape(20)).args_info[0]
    assert batch["patches"].shape == (recipe.train.batch_size, 20, 192)


def test_a_plan_says_the_form_of_each_term_that_has_one(tiny_recipe, traced, monkeypatch):
    """65,536 rows a device on four: what MoCHi holds beside the keys that go around makes `ring` the larger form, and not for softmax."""
    monkeypatch.setattr(engine, "flops_by_shape", lambda recipe, mesh: {StepShape(): 1})
    recipe = tiny_recipe(batch_size=65_536 * 4)
    four = dataclasses.replace(HERE, devices=HERE.devices[:4])
    for terms, forms in (
        ({"mochi": 1.0}, {"loss_form": "chunked"}),
        ({"mochi": 1.0, "softmax": 1.0, "cyclip": 1.0}, {"loss_form/mochi": "chunked", "loss_form/softmax": "ring"}),
        ({"cyclip": 1.0}, {}),
    ):
        model = dataclasses.replace(recipe.model, embed_dim=768)
        given = dataclasses.replace(recipe, model=model, objective=dataclasses.replace(recipe.objective, terms=terms))
        values = values_of(engine.plan_recipe(given, four))
        assert {name: form.partition(",")[0] for name, form in values.items() if name.startswith("loss_form")} == forms


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
