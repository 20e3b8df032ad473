"""States with gaps, where an optimizer keeps nothing for a parameter, are saved and come back on another mesh."""

import dataclasses

import jax
import numpy as np
import pytest

from diptych.pretrain.checkpoint import Checkpoints
from diptych.pretrain.learner import make_learner
from diptych.pretrain.optimizer import make_optimizer
from diptych.pretrain.spec import CheckpointSpec, OptimizerSpec
from diptych.pretrain.state import state_layouts, state_shapes
from diptych.sharding.layouts import named_leaves, places
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec


@pytest.mark.parametrize("name", ["adafactor", "muon"])
def test_a_state_comes_back_on_another_mesh(tiny_recipe, tmp_path, name):
    optimizer = OptimizerSpec(name=name, freeze=(r"model\.text\..*",))
    recipe = dataclasses.replace(tiny_recipe(), optimizer=optimizer)

    def parts(**sizes):
        mesh = make_mesh(MeshSpec(**sizes))
        learner, optimizer = make_learner(recipe, mesh), make_optimizer(recipe.optimizer, steps=20)
        return mesh, learner, optimizer, state_layouts(learner, optimizer)

    mesh, learner, optimizer, layouts = parts(fsdp=4, tensor=2)
    with jax.set_mesh(mesh), Checkpoints(tmp_path, CheckpointSpec()) as checkpoints:
        noise = jax.tree.map(
            lambda x: np.random.default_rng(x.ndim).uniform(0, 99, x.shape).astype(x.dtype), state_shapes(learner, optimizer)
        )
        state = jax.device_put(noise, places(layouts, mesh))
        checkpoints.save(1, state, data={}, metadata={})
        checkpoints.wait()
    mesh, learner, optimizer, layouts = parts(replica=2, fsdp=2)
    with jax.set_mesh(mesh), Checkpoints(tmp_path, CheckpointSpec()) as checkpoints:
        back = checkpoints.restore(1, shapes=state_shapes(learner, optimizer), layouts=layouts, mesh=mesh)
    assert jax.tree.structure(back) == jax.tree.structure(state)
    before, after = named_leaves(state), named_leaves(back)
    assert not any("opt." in leaf and ".model.text" in leaf for leaf in before)
    assert all(np.array_equal(before[leaf], after[leaf]) and before[leaf].dtype == after[leaf].dtype for leaf in before)
