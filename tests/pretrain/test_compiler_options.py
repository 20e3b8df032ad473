"""XLA is told the same in training and in a plan: an option that it does not know is refused, by name, in both."""

import dataclasses

import jax
import pytest

from diptych.pretrain.lowering import trace_step, trace_towers
from diptych.pretrain.train import train
from diptych.sharding import compiler_options
from diptych.sharding.hardware import V5E
from diptych.sharding.mesh import mesh_over
from diptych.sharding.plan import plan_step
from diptych.sharding.spec import MeshSpec
from diptych.sharding.topology import Topology

HERE = dataclasses.replace(V5E, name="here", platform="cpu")
ONE = MeshSpec(replica=1, fsdp=1, tensor=1)


@pytest.fixture(autouse=True)
def an_option_of_this_hardware(monkeypatch):
    monkeypatch.setattr(compiler_options, "find_hardware", {"cpu": HERE}.get)
    monkeypatch.setattr(compiler_options, "OPTIONS", {"here": {"xla_unheard_of": True}})


def refused():
    return pytest.raises(jax.errors.JaxRuntimeError, match="No such compile option: 'xla_unheard_of'")


def test_in_training(squares_recipe, tmp_path):
    with refused():
        train(dataclasses.replace(squares_recipe, mesh=ONE), tmp_path)


@pytest.mark.parametrize("trace", [trace_step, trace_towers])
def test_in_a_plan(tiny_recipe, trace):
    devices = tuple(jax.devices()[:1])
    mesh = mesh_over(ONE, devices)
    traced = trace(tiny_recipe("siglip"), mesh)
    with refused():
        plan_step(traced, mesh, Topology(name="here:1", hardware=HERE, devices=devices, granules=1, compiler="jaxlib"))
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh), refused():
        traced.lower().compile()
