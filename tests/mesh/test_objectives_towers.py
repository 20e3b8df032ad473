"""Both contrastive terms through whole towers: losses and gradients on every mesh are those of one device."""

import dataclasses

import jax
import numpy as np
import pytest

from diptych.pretrain.learner import make_learner
from diptych.sharding.layouts import batch_layout, named_leaves, places
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec

# (replica, fsdp, tensor) -> the form there; `auto` would gather such a small batch everywhere.
MESHES = {(8, 1, 1): "ring", (2, 4, 1): "chunked", (1, 4, 2): "ring", (2, 2, 2): "gather"}
LOSS = {"float32": 1e-5, "bfloat16": 1e-3}
GRADIENT = {"float32": 1e-5, "bfloat16": 1e-1}


def losses_and_gradients(recipe, sizes, batch, *, form, params=None):
    """Loss of each term, the gradients by name, and the parameters: those given, or fresh ones."""
    objective = dataclasses.replace(recipe.objective, terms={"softmax": 1.0, "sigmoid": 1.0}, form=form, chunk=3)
    recipe = dataclasses.replace(recipe, objective=objective)
    mesh = make_mesh(MeshSpec(replica=sizes[0], fsdp=sizes[1], tensor=sizes[2]))
    learner = make_learner(recipe, mesh)
    with jax.set_mesh(mesh):
        where = places(learner.layouts, mesh)
        params = jax.jit(learner.init, out_shardings=where)() if params is None else jax.device_put(params, where)
        batch = jax.device_put(batch, jax.NamedSharding(mesh, batch_layout(mesh)))
        (_, metrics), gradients = jax.jit(jax.value_and_grad(learner.loss, has_aux=True))(params, batch)
        return {name: metrics[f"loss/{name}"] for name in objective.terms}, named_leaves(jax.device_get(gradients)), jax.device_get(params)


@pytest.fixture(scope="module")
def one_device(tiny_recipe, random_batch):
    make = lambda dtype: losses_and_gradients(tiny_recipe(dtype=dtype), (1, 1, 1), random_batch(), form="gather")  # noqa: E731
    return {dtype: make(dtype) for dtype in LOSS}


@pytest.mark.parametrize(("sizes", "dtype"), [(sizes, dtype) for sizes in MESHES for dtype in LOSS], ids=str)
def test_losses_and_gradients_are_those_of_one_device(tiny_recipe, random_batch, one_device, sizes, dtype):
    expected, definition, params = one_device[dtype]
    losses, gradients, _ = losses_and_gradients(tiny_recipe(dtype=dtype), sizes, random_batch(), form=MESHES[sizes], params=params)
    for name, loss in losses.items():
        np.testing.assert_allclose(loss, expected[name], rtol=LOSS[dtype], err_msg=name)
    for name, gradient in definition.items():
        assert np.abs(gradients[name] - gradient).max() <= GRADIENT[dtype] * np.abs(gradient).max(), name
