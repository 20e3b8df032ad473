"""The same recipe and seed give the same losses on every mesh."""

import jax
import numpy as np
import pytest

from diptych.pretrain.learner import make_learner
from diptych.pretrain.optimizer import make_optimizer
from diptych.pretrain.state import initial_state, state_layouts
from diptych.pretrain.step import make_step
from diptych.sharding.layouts import batch_layout, places
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec

MESHES = [(1, 2, 1), (1, 8, 1), (2, 4, 1), (1, 4, 2), (2, 2, 2), (8, 1, 1), (1, 1, 2)]


def losses(recipe, sizes, batches):
    mesh = make_mesh(MeshSpec(replica=sizes[0], fsdp=sizes[1], tensor=sizes[2]))
    learner, optimizer = make_learner(recipe, mesh), make_optimizer(recipe.optimizer, steps=recipe.train.steps)
    layouts = state_layouts(learner, optimizer)
    where = places(layouts, mesh)
    rows = jax.NamedSharding(mesh, batch_layout(mesh))
    with jax.set_mesh(mesh):
        state = jax.jit(lambda: initial_state(learner, optimizer), out_shardings=where)()
        step = jax.jit(make_step(learner, optimizer), donate_argnums=0)
        curve = []
        for batch in batches:
            state, metrics = step(state, jax.device_put(batch, rows))
            curve.append(float(metrics["loss"]))
        kept = jax.tree.map(lambda array, place: array.sharding.is_equivalent_to(place, array.ndim), state, where)
        assert all(jax.tree.leaves(kept)), "a step changed a layout"
        compiled = step._cache_size()  # type: ignore[attr-defined]
        assert compiled == 1, "the second step compiled again: a type of the state changed in the first"
    return np.array(curve)


@pytest.fixture(scope="module")
def one_device(tiny_recipe, random_batch):
    batches = [random_batch(step) for step in range(20)]
    return batches, {kind: losses(tiny_recipe(kind), (1, 1, 1), batches) for kind in ("clip", "siglip", "coca")}


@pytest.mark.parametrize("sizes", MESHES, ids=str)
def test_softmax_curve_is_that_of_one_device(tiny_recipe, one_device, sizes):
    batches, expected = one_device
    np.testing.assert_allclose(losses(tiny_recipe("clip"), sizes, batches), expected["clip"], rtol=1e-5)


@pytest.mark.parametrize("kind", ["siglip", "coca"])
@pytest.mark.parametrize("sizes", [(1, 4, 2), (2, 4, 1)], ids=str)
def test_other_objectives_curves_are_those_of_one_device(tiny_recipe, one_device, kind, sizes):
    batches, expected = one_device
    np.testing.assert_allclose(losses(tiny_recipe(kind), sizes, batches), expected[kind], rtol=1e-5)


@pytest.mark.parametrize("remat", ["dots", "full"])
def test_rematerialisation_changes_no_loss(tiny_recipe, one_device, remat):
    batches, expected = one_device
    np.testing.assert_allclose(losses(tiny_recipe("clip", remat=remat), (1, 4, 2), batches), expected["clip"], rtol=1e-5)
