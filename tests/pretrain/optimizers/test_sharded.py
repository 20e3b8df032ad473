"""On a mesh of eight devices each optimizer moves parameters as on one device does, and parameters and moments stay where they lie."""

import dataclasses

import jax
import numpy as np
import pytest

from diptych.pretrain.learner import make_learner
from diptych.pretrain.optimizer import make_optimizer
from diptych.pretrain.spec_optimizer import OptimizerSpec
from diptych.pretrain.state import state_layouts
from diptych.sharding.layouts import is_layout, named_leaves, places
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec

SETTINGS = OptimizerSpec(
    peak_lr=1e-2,
    schedule="constant",
    warmup_steps=0,
    adaptive_clip=0.02,
    moment_dtype="float32",
    grad_clip=0.5,
    layer_decay=0.7,
    lr_multipliers=((r"model\.text\..*", 0.5),),
    freeze=(r"model\.image\.(patch|position)",),
)


def moved(recipe, sizes):
    """Parameters after two steps on gradients of noise, on the host; asserts that nothing left its place."""
    mesh = make_mesh(MeshSpec(replica=sizes[0], fsdp=sizes[1], tensor=sizes[2]))
    learner, optimizer = make_learner(recipe, mesh), make_optimizer(recipe.optimizer, steps=10)
    layouts = state_layouts(learner, optimizer)
    where = places(learner.layouts, mesh), places(layouts.opt, mesh)

    def noise(seed):
        rng = np.random.default_rng(seed)
        return jax.device_put(jax.tree.map(lambda w: 0.1 * rng.standard_normal(w.shape, np.float32), learner.shapes), where[0])

    def step(params, opt, gradients):
        updates, opt = optimizer.update(gradients, opt, params)
        return jax.tree.map(lambda w, u: w + u, params, updates), opt

    with jax.set_mesh(mesh):
        params = noise(0)
        opt = jax.jit(optimizer.init, out_shardings=where[1])(params)
        step = jax.jit(step, donate_argnums=(0, 1))
        for seed in (1, 2):
            params, opt = step(params, opt, noise(seed))
        assert step._cache_size() == 1, "the second step compiled again: a type of the state changed in the first"
    for array, place in zip(jax.tree.leaves((params, opt)), jax.tree.leaves(where)):
        assert array.sharding.is_equivalent_to(place, array.ndim), "a step changed a layout"
    return named_leaves(jax.device_get(params)), named_leaves(layouts.opt, is_leaf=is_layout), named_leaves(opt)


@pytest.mark.parametrize("name", ["adamw", "adafactor", "lion", "muon", "lamb"])
def test_a_mesh_changes_no_step_and_keeps_layouts(tiny_recipe, name):
    recipe = dataclasses.replace(tiny_recipe("siglip"), optimizer=dataclasses.replace(SETTINGS, name=name))
    expected = moved(recipe, (1, 1, 1))[0]
    params, layouts, opt = moved(recipe, (2, 2, 2))
    for leaf, value in params.items():
        np.testing.assert_allclose(value, expected[leaf], atol=1e-6, err_msg=leaf)
    assert not any("image.patch" in leaf and "bias" not in leaf for leaf in opt), "what is frozen has a state"
    for leaf, array in opt.items():
        assert array.size < 1024 or any(layouts[leaf]), f"{leaf} {array.shape} is replicated"
