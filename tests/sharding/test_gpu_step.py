"""A step compiled for GPUs that are not there: two nodes of eight H100."""

import os

import pytest

from diptych.launch.plan_recipe import plan_recipe
from diptych.pretrain.recipe import load_recipe
from diptych.sharding.topology import find_topology


@pytest.fixture(scope="module")
def gpu_plan():
    """Quickstart, with parameters that lie over the GPUs of a node."""
    if os.environ.get("DIPTYCH_PLAN") != "1":
        pytest.skip("compiles for GPUs; DIPTYCH_PLAN=1 runs it, with jax's CUDA plugin installed")
    pytest.importorskip("jax_cuda12_plugin", reason="the compiler for GPUs is not installed: pip install '.[plan_gpu]'")
    recipe = load_recipe("quickstart", ["train.dtype=bfloat16", "mesh.replica=2", "mesh.fsdp=8", "train.remat=full"])
    return plan_recipe(recipe, find_topology("h100:2x8")).plan


def test_a_gpu_step_fits_and_has_a_peak(gpu_plan):
    assert gpu_plan.fits and gpu_plan.mesh == {"replica": 2, "fsdp": 8, "tensor": 1}
    assert sum(gpu_plan.arguments.values()) < gpu_plan.weight.needed < 2**30


def test_weights_stay_in_a_node_and_sums_over_replicas_leave_it(gpu_plan):
    rows = gpu_plan.weight.traffic
    inside = [row for row in rows if row.axes == ("fsdp",)]
    assert {"all-gather", "reduce-scatter"} <= {row.kind for row in inside} and not any(row.network_bytes for row in inside)
    leaving = [row for row in rows if "replica" in row.axes]
    assert leaving and all(row.network_bytes > 0 for row in leaving)


def test_no_memory_traffic_binds_a_gpu(gpu_plan):
    assert gpu_plan.roofline.hbm is None and gpu_plan.roofline.network > 0
