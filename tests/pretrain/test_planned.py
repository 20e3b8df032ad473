"""A run's compiled step beside its plan: what is logged, and that the first step of the run compiles nothing more."""

import json
import logging
import types

import jax
import jax.numpy as jnp
import pytest

from diptych.pretrain import planned
from diptych.pretrain.planned import GIB, PLAN, PlanCheck
from diptych.sharding.memory import memory_of
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec

P = jax.P
ROWS, WIDTH = 16, 32
TFLOPS = 2 * ROWS * WIDTH * WIDTH / 1e12


@pytest.fixture
def run(tiny_recipe, tmp_path):
    mesh = make_mesh(MeshSpec(replica=2, fsdp=4, tensor=1))
    with jax.set_mesh(mesh):
        yield types.SimpleNamespace(workdir=tmp_path, mesh=mesh, learner=types.SimpleNamespace(recipe=tiny_recipe(remat="full")))


def made(mesh, width=WIDTH):
    """A donated step of its own each time, and its arguments, of a batch whose images and weights have this width."""
    rows = jax.NamedSharding(mesh, P(("replica", "fsdp"), None))
    step = jax.jit(lambda weights, batch: (weights * 2, jnp.matmul(batch["image"], weights, out_sharding=rows)), donate_argnums=0)
    weights = jax.device_put(jnp.ones((width, width)), jax.NamedSharding(mesh, P(None, None)))
    return step, weights, {"image": jax.device_put(jnp.ones((ROWS, width)), rows)}


def lines(caplog):
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "diptych"]


def said(run, caplog, plan=None):
    if plan is not None:
        (run.workdir / PLAN).write_text(plan if isinstance(plan, str) else json.dumps(plan))
    step, weights, batch = made(run.mesh)
    with caplog.at_level(logging.INFO, logger="diptych"):
        PlanCheck(run)(step, weights, batch)
    return lines(caplog)


def plan_of(run, **changed):
    """The plan that this step has."""
    step, weights, batch = made(run.mesh)
    peak = memory_of(step.lower(weights, batch).compile()).peak
    found = {"peak_hbm_gib": peak / GIB, "model_tflops_per_step": TFLOPS / 2, "recomputed_tflops_per_step": TFLOPS / 2}
    found |= {"topology": "v5e:2x4", "compiler": "libtpu 1", "devices": 8, "mesh": {"replica": 2, "fsdp": 4, "tensor": 1}}
    return found | {"batch_size": ROWS, "batch_shapes": {"image": [ROWS, WIDTH]}, "remat": "full"} | changed


def test_without_a_plan_the_compiled_step_alone_is_logged(run, caplog):
    [(level, text)] = said(run, caplog)
    assert level == "INFO" and text.startswith("compiled step: ") and f"{TFLOPS:.4g} TFLOP on all devices" in text


def test_a_plan_that_holds_is_logged_beside_it(run, caplog):
    _, (level, text) = said(run, caplog, plan_of(run))
    assert level == "INFO"
    assert text.startswith("planned for v5e:2x4 (libtpu 1): ") and text.endswith("here +0.0% memory, +0.0% FLOPs")


def test_a_plan_of_another_step_is_a_warning_that_names_what_differs(run, caplog):
    other = plan_of(run, remat="none", batch_size=32, batch_shapes={"image": [32, WIDTH]}, recomputed_tflops_per_step=0.0)
    _, (level, text) = said(run, caplog, other)
    assert level == "WARNING"
    assert text.endswith("+100.0% FLOPs; batch_size = 16, planned with 32; remat = full, planned with none")


def test_a_shorter_step_is_not_compared_but_the_first_that_the_plan_is_of(run, caplog, monkeypatch):
    """The run's schedule: narrow images, then those that were planned, then narrow ones again."""
    (run.workdir / PLAN).write_text(json.dumps(plan_of(run)))
    monkeypatch.setattr(planned, "shapes_of_run", lambda recipe: (WIDTH // 2, WIDTH))
    monkeypatch.setattr(planned, "batch_shapes", lambda recipe, mesh, shape: {"image": jax.ShapeDtypeStruct((ROWS, shape), jnp.float32)})
    check = PlanCheck(run)
    with caplog.at_level(logging.INFO, logger="diptych"):
        for width in (WIDTH // 2, WIDTH // 2, WIDTH, WIDTH // 2, WIDTH):
            check(*made(run.mesh, width))
    assert [level for level, _ in lines(caplog)] == ["INFO"] * 4
    small, later, whole, compared = (text for _, text in lines(caplog))
    assert f"{TFLOPS / 4:.4g} TFLOP" in small and f"{TFLOPS:.4g} TFLOP" in whole
    assert later == (
        "planned for v5e:2x4 (libtpu 1) is a step with image = 16 x 32, this one has 16 x 16: compared if the run comes to one"
    )
    assert compared.endswith("here +0.0% memory, +0.0% FLOPs")


def test_a_plan_of_images_that_the_run_never_has_is_a_warning(run, caplog, monkeypatch):
    monkeypatch.setattr(planned, "shapes_of_run", lambda recipe: (WIDTH,))
    monkeypatch.setattr(planned, "batch_shapes", lambda recipe, mesh, shape: {"image": jax.ShapeDtypeStruct((ROWS, shape), jnp.float32)})
    _, (level, text) = said(run, caplog, plan_of(run, batch_shapes={"image": [ROWS, 48]}, model_tflops_per_step=2 * TFLOPS))
    assert level == "WARNING" and text.endswith("-60.0% FLOPs; image = 16 x 32, planned with 16 x 48")


@pytest.mark.parametrize(("plan", "why"), [("{", "is broken"), ("{}", "has no batch_shapes and no batch_size")])
def test_no_run_waits_for_a_broken_plan(run, caplog, plan, why):
    (level, text), _ = said(run, caplog, plan)
    assert level == "WARNING" and why in text


def test_the_first_step_takes_the_compiled_one(run, caplog):
    step, weights, batch = made(run.mesh)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        PlanCheck(run)(step, weights, batch)
        compiles = [record for record in caplog.records if "Finished XLA compilation" in record.getMessage()]
        step(weights, batch)
        after = [record for record in caplog.records if "Finished XLA compilation" in record.getMessage()]
    assert len(compiles) == len(after) == 1
