"""A run's compiled step beside its plan: what is logged, and that the first step of the run compiles nothing more."""

import json
import logging
import types

import jax
import jax.numpy as jnp
import pytest

from diptych.pretrain.planned import GIB, PLAN, compare_with_plan
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


def made(mesh):
    """A donated step of its own each time, and its arguments."""
    rows = jax.NamedSharding(mesh, P(("replica", "fsdp"), None))
    step = jax.jit(lambda weights, batch: (weights * 2, jnp.matmul(batch, weights, out_sharding=rows)), donate_argnums=0)
    weights = jax.device_put(jnp.ones((WIDTH, WIDTH)), jax.NamedSharding(mesh, P(None, None)))
    return step, weights, jax.device_put(jnp.ones((ROWS, WIDTH)), rows)


def said(run, caplog, plan=None):
    if plan is not None:
        (run.workdir / PLAN).write_text(plan if isinstance(plan, str) else json.dumps(plan))
    step, weights, batch = made(run.mesh)
    with caplog.at_level(logging.INFO, logger="diptych"):
        compare_with_plan(step, weights, batch, run=run)
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "diptych"]


def plan_of(run, **changed):
    """The plan that this step has."""
    step, weights, batch = made(run.mesh)
    peak = memory_of(step.lower(weights, batch).compile()).peak
    found = {"peak_hbm_gib": peak / GIB, "model_tflops_per_step": TFLOPS / 2, "recomputed_tflops_per_step": TFLOPS / 2}
    found |= {"topology": "v5e:2x4", "compiler": "libtpu 1", "devices": 8, "mesh": {"replica": 2, "fsdp": 4, "tensor": 1}}
    return found | {"batch_size": 16, "remat": "full"} | changed


def test_without_a_plan_the_compiled_step_alone_is_logged(run, caplog):
    [(level, text)] = said(run, caplog)
    assert level == "INFO" and text.startswith("compiled step: ") and f"{TFLOPS:.4g} TFLOP on all devices" in text


def test_a_plan_that_holds_is_logged_beside_it(run, caplog):
    _, (level, text) = said(run, caplog, plan_of(run))
    assert level == "INFO"
    assert text.startswith("planned for v5e:2x4 (libtpu 1): ") and text.endswith("here +0.0% memory, +0.0% FLOPs")


def test_a_plan_of_another_step_is_a_warning_that_names_what_differs(run, caplog):
    other = plan_of(run, remat="none", batch_size=32, recomputed_tflops_per_step=0.0)
    _, (level, text) = said(run, caplog, other)
    assert level == "WARNING"
    assert text.endswith("+100.0% FLOPs; batch_size = 16, planned with 32; remat = full, planned with none")


@pytest.mark.parametrize(("plan", "why"), [("{", "is broken"), ("{}", "is no plan (it has no batch_size and no compiler")])
def test_no_run_waits_for_a_broken_plan(run, caplog, plan, why):
    _, (level, text) = said(run, caplog, plan)
    assert level == "WARNING" and why in text


def test_the_first_step_takes_the_compiled_one(run, caplog):
    step, weights, batch = made(run.mesh)
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        compare_with_plan(step, weights, batch, run=run)
        compiles = [record for record in caplog.records if "Finished XLA compilation" in record.getMessage()]
        step(weights, batch)
        after = [record for record in caplog.records if "Finished XLA compilation" in record.getMessage()]
    assert len(compiles) == len(after) == 1
