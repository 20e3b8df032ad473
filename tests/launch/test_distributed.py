"""Who is joined, as the environment says."""

import jax
import pytest

from diptych.errors import UserError
from diptych.launch import distributed

JAX = {"JAX_COORDINATOR_ADDRESS": "host:1234", "JAX_NUM_PROCESSES": "4", "JAX_PROCESS_ID": "3"}
NAMES = (*JAX, "SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "JAX_PLATFORMS")


@pytest.fixture
def joined(monkeypatch):
    """The calls of `jax.distributed.initialize`, none of which is made."""
    calls = []
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args, **kwargs: calls.append((args, kwargs)))
    return calls


def start(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    distributed.initialize()


def test_alone_nothing_is_joined(joined, monkeypatch):
    start(monkeypatch, {})
    assert joined == []


def test_the_variables_of_jax(joined, monkeypatch):
    start(monkeypatch, JAX)
    assert joined == [(("host:1234",), {"num_processes": 4, "process_id": 3})]


@pytest.mark.parametrize("variables", [{"SLURM_STEP_NUM_TASKS": "2"}, {"OMPI_COMM_WORLD_SIZE": "2"}])
def test_launchers_that_jax_knows(joined, monkeypatch, variables):
    start(monkeypatch, variables)
    assert joined == [((), {})]


def test_a_launcher_with_one_task_is_alone(joined, monkeypatch):
    start(monkeypatch, {"SLURM_STEP_NUM_TASKS": "1"})
    assert joined == []


def test_a_tpu_vm_is_always_joined_but_not_for_its_cpus(joined, monkeypatch):
    monkeypatch.setattr("jax._src.clusters.GceTpuCluster.is_env_present", lambda: True)
    start(monkeypatch, {"JAX_PLATFORMS": "cpu"})
    assert joined == []
    start(monkeypatch, {"JAX_PLATFORMS": "tpu,cpu"})
    assert joined == [((), {})]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"JAX_NUM_PROCESSES": None}, "JAX_NUM_PROCESSES in the environment is not set; accepted is an integer from 1 on"),
        ({"JAX_PROCESS_ID": None}, "JAX_PROCESS_ID in the environment is not set"),
        ({"JAX_NUM_PROCESSES": "two"}, "JAX_NUM_PROCESSES in the environment = 'two' is out of range"),
        ({"JAX_PROCESS_ID": "-1"}, "JAX_PROCESS_ID in the environment = '-1' is out of range"),
        ({"JAX_PROCESS_ID": "4"}, "JAX_PROCESS_ID = 4 in the environment is out of range; accepted is 0 to 3"),
        ({"JAX_COORDINATOR_ADDRESS": None, "SLURM_STEP_NUM_TASKS": "x"}, "SLURM_STEP_NUM_TASKS in the environment = 'x'"),
    ],
)
def test_mistakes_are_named(joined, monkeypatch, changes, said):
    with pytest.raises(UserError) as refused:
        start(monkeypatch, {name: value for name, value in (JAX | changes).items() if value is not None})
    assert said in str(refused.value) and joined == []


def test_the_first_process_speaks(monkeypatch):
    assert distributed.is_first()
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    assert not distributed.is_first()
