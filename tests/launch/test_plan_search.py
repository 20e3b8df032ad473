"""`--search` on made-up steps: bytes and times are formulas of batch, remat policy and mesh."""

import dataclasses
import functools

import jax
import pytest

from diptych.launch import plan_tried
from diptych.launch.plan_frontier import frontier_rows
from diptych.launch.plan_result import GIB, RecipePlan
from diptych.launch.plan_search import next_rows, search
from diptych.launch.plan_tried import best, rank
from diptych.pretrain.recipe import load_recipe
from diptych.sharding.flops import Product
from diptych.sharding.hardware import H100, V5E
from diptych.sharding.memory import Memory
from diptych.sharding.plan import Plan, Weight
from diptych.sharding.topology import Topology
from diptych.sharding.traffic import Traffic

TOPOLOGY = Topology(name="here:8", hardware=V5E, devices=tuple(jax.devices()), granules=1, compiler="none")
ROW_GIB = {"none": 0.8, "dots": 0.3, "full": 0.1}
RECOMPUTED = {"none": 1.0, "dots": 1.05, "full": 1.3}


def made_up(recipe, topology, *, cache, state_gib=4.0):
    """State shared by fsdp and activations by the row; compute by the remat policy; links by fsdp."""
    mesh, train = recipe.mesh, recipe.train
    rows = train.batch_size // (mesh.replica * mesh.fsdp)
    needed = int((state_gib / mesh.fsdp + rows * ROW_GIB[train.remat]) * GIB)
    sent = 1e6 * mesh.fsdp
    row = Traffic(
        kind="all-gather", axes=("fsdp",), scope="", group=mesh.fsdp, count=1, bytes=sent, link_bytes=sent, network_bytes=0.0, dimensions=1
    )
    fits = needed <= topology.hardware.hbm_bytes
    memory = Memory(peak=needed, arguments=0, temporaries=needed, outputs=0, code=0) if fits else None
    plan = Plan(
        topology=topology,
        mesh=dataclasses.asdict(mesh),
        weight=Weight(memory=memory, needed=needed, traffic=(row,), hbm_bytes=1e9, compile_seconds=1.0),
        arguments={},
        products={Product("", "bfloat16"): int(train.batch_size * 1e12 * RECOMPUTED[train.remat])},
    )
    return RecipePlan(recipe=recipe, plan=plan, params=1, model_flops=int(train.batch_size * 1e12))


def refusing(recipe, topology, *, cache, refused):
    """Made-up steps, of which the compiler breaks at some."""
    if refused(recipe):
        raise jax.errors.JaxRuntimeError("INTERNAL: Mosaic failed\nwith a page of text")
    return made_up(recipe, topology, cache=cache)


@pytest.fixture
def planner(monkeypatch):
    def searched(goal, *overrides, compiles=8, **changed):
        monkeypatch.setattr(plan_tried, "plan_recipe", functools.partial(made_up, **changed))
        recipe = load_recipe("quickstart", ["eval.batch_size=8", "mesh.fsdp=2", "mesh.replica=-1", *overrides])
        reported = []
        return search(goal, recipe, TOPOLOGY, compiles=compiles, report=reported.append), reported

    return searched


def test_the_largest_batch_is_found_in_few_compiles(planner):
    found, reported = planner("batch", "train.remat=full", "train.batch_size=64")
    chosen = best(found, goal="batch")
    rows = int((V5E.hbm_bytes / GIB - 4 / 2) / 0.1)
    assert 0.94 * rows <= chosen.recipe.train.batch_size / 8 <= rows
    assert len(found.found) <= 6 and reported == found.found


def test_days_are_of_as_many_samples_whatever_the_batch(planner):
    found, _ = planner("batch", "train.remat=full", "train.batch_size=64", "train.steps=1000")
    fitting = [plan for plan in found.found if plan.plan.fits]
    for plan in fitting:
        speed = plan.speed(plan.seconds)
        assert speed["days"] * 86_400 * speed["samples_per_second"] == pytest.approx(64 * 1000)
    assert len({plan.recipe.train.batch_size for plan in fitting}) > 1


def test_a_batch_that_is_too_large_is_made_smaller(planner):
    found, _ = planner("batch", "train.remat=none", "train.batch_size=256")
    assert not found.found[0].plan.fits
    assert best(found, goal="batch").recipe.train.batch_size == 8 * 17


def test_where_no_batch_fits_the_smallest_need_is_shown(planner):
    found, _ = planner("batch", "train.remat=none", "train.batch_size=256", state_gib=60.0)
    assert best(found, goal="batch") is found.found[-1]
    assert [plan.recipe.train.batch_size for plan in found.found] == [256, 128, 64, 32, 16, 8]


def test_no_more_is_compiled_than_was_allowed(planner):
    assert len(planner("batch", "train.batch_size=64", "train.remat=full", compiles=2)[0].found) == 2
    assert len(planner("speed", "train.batch_size=64", compiles=2)[0].found) == 2


def test_a_step_at_which_the_compiler_breaks_is_left_out(monkeypatch, caplog):
    monkeypatch.setattr(plan_tried, "plan_recipe", functools.partial(refusing, refused=lambda recipe: recipe.train.remat == "dots"))
    recipe = load_recipe("quickstart", ["eval.batch_size=8", "mesh.fsdp=2", "mesh.replica=-1", "train.batch_size=256", "train.remat=full"])
    found = search("speed", recipe, TOPOLOGY, compiles=3, report=lambda _: None)
    assert [plan.recipe.train.remat for plan in found.found] == ["full", "none"] and found.spent
    assert caplog.messages == ["batch 256, remat dots, mesh 4 x 2 x 1: not compiled: INTERNAL: Mosaic failed"]


def test_a_compiler_that_breaks_at_the_recipe_itself_is_an_error(monkeypatch):
    monkeypatch.setattr(plan_tried, "plan_recipe", functools.partial(refusing, refused=lambda recipe: True))
    recipe = load_recipe("quickstart", ["eval.batch_size=8", "train.batch_size=256"])
    with pytest.raises(jax.errors.JaxRuntimeError, match="Mosaic"):
        search("batch", recipe, TOPOLOGY, compiles=3, report=lambda _: None)


def test_a_larger_batch_at_which_the_compiler_breaks_ends_the_search(monkeypatch):
    monkeypatch.setattr(plan_tried, "plan_recipe", functools.partial(refusing, refused=lambda recipe: recipe.train.batch_size > 128))
    recipe = load_recipe("quickstart", ["eval.batch_size=8", "train.batch_size=64", "train.remat=full"])
    found = search("batch", recipe, TOPOLOGY, compiles=8, report=lambda _: None)
    assert [plan.recipe.train.batch_size for plan in found.found] == [64, 128] and len(found.broken) == 1


def test_the_recipes_own_policy_is_tried_first(planner):
    found, _ = planner("speed", "train.batch_size=256", "train.remat=full", compiles=1)
    assert [plan.recipe.train.remat for plan in found.found] == ["full"]


def test_the_fastest_policy_that_fits_and_the_mesh_that_sends_least(planner):
    found, _ = planner("speed", "train.batch_size=256")
    chosen = best(found, goal="speed").recipe
    assert (chosen.train.remat, chosen.mesh.fsdp, chosen.mesh.replica) == ("dots", 1, 8)
    tried = [(plan.recipe.train.remat, plan.recipe.mesh.fsdp, plan.recipe.mesh.tensor) for plan in found.found]
    assert tried == [("none", 2, 1), ("dots", 2, 1), ("full", 2, 1), ("dots", 4, 1), ("dots", 1, 1), ("dots", 1, 2)]


def test_on_gpus_memory_traffic_is_no_part_of_a_steps_rank(monkeypatch):
    monkeypatch.setattr(plan_tried, "plan_recipe", made_up)
    recipe = load_recipe("quickstart", ["eval.batch_size=8", "mesh.fsdp=2", "mesh.replica=-1", "train.batch_size=256", "train.remat=full"])
    found = search("speed", recipe, dataclasses.replace(TOPOLOGY, hardware=H100), compiles=8, report=lambda _: None)
    chosen = best(found, goal="speed")
    assert (chosen.recipe.train.remat, chosen.recipe.mesh.fsdp) == ("none", 1)
    line = chosen.plan.roofline
    assert line.hbm is None and rank(chosen) == (False, line.compute, line.compute + line.link)


def test_equal_steps_are_told_apart_by_the_sum_of_their_parts_each_once():
    recipe = load_recipe("quickstart", ["eval.batch_size=8", "mesh.fsdp=2", "mesh.replica=4", "train.batch_size=64"])
    plan = made_up(recipe, TOPOLOGY, cache=None)
    line = plan.plan.roofline
    assert rank(plan) == (False, line.seconds, pytest.approx(line.compute + line.hbm + line.link))


def test_where_nothing_fits_a_wider_mesh_is_tried(planner):
    found, _ = planner("speed", "train.batch_size=64", state_gib=60.0)
    assert not any(plan.plan.fits for plan in found.found[:3])
    assert best(found, goal="speed").recipe.mesh.fsdp >= 4 and best(found, goal="speed").plan.fits


def test_the_frontier_is_what_nothing_beats(planner):
    found, _ = planner("speed", "train.batch_size=256")
    rows = frontier_rows(found.found)
    kept = {(row["remat"], row["mesh"]["fsdp"]) for row in rows if row["on_frontier"]}
    assert kept == {("dots", 4), ("full", 2)}, "the least need of each speed"
    assert [row["fits"] for row in rows if row["remat"] == "none"] == [False]


@pytest.mark.parametrize(
    ("needed", "rows"),
    [
        ({8: 50}, 16),
        ({8: 150}, 4),
        ({1: 150}, None),
        ({8: 50, 16: 60}, 48),
        ({8: 50, 16: 90}, 18),
        ({8: 10, 16: 11}, 128),
        ({8: 50, 16: 150}, 12),
        ({8: 95, 9: 150}, None),
        ({8: 150, 4: 120}, 2),
    ],
)
def test_the_next_number_of_rows(needed, rows):
    assert next_rows(needed, usable=100) == rows
