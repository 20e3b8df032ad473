"""Which patches are dropped depends on neither the mesh nor the microbatch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from diptych.pretrain.accumulate import loss_and_gradients
from diptych.pretrain.learner import make_learner
from diptych.sharding.layouts import batch_layout, named_leaves, places
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec


def computed(recipe, sizes, batch, params):
    mesh = make_mesh(MeshSpec(replica=sizes[0], fsdp=sizes[1], tensor=sizes[2]))
    learner = make_learner(recipe, mesh)
    with jax.set_mesh(mesh):
        given = (
            jax.device_put(params(learner), places(learner.layouts, mesh)),
            jax.device_put(batch, jax.NamedSharding(mesh, batch_layout(mesh))),
        )
        lowered = jax.jit(lambda *given: loss_and_gradients(learner, *given)).lower(*given, jnp.int32(3))
        program = lowered.compile(compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True})
        output, gradients = program(*given, jnp.int32(3))
        later, _ = program(*given, jnp.int32(4))
    return float(output.loss), float(later.loss), {name: np.asarray(gradient) for name, gradient in named_leaves(gradients).items()}


def some_params(learner):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: 0.25 * rng.standard_normal(leaf.shape, np.float32) if leaf.shape else np.float32(2.3), learner.shapes)


def test_loss_and_gradients_are_those_of_one_device_and_one_batch(tiny_recipe, random_batch):
    recipe, batch = tiny_recipe("clip"), random_batch(1)
    image = dataclasses.replace(recipe.model.image, patch_dropout=0.5)
    recipe = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, image=image))
    loss, later, gradients = computed(recipe, (1, 1, 1), batch, some_params)
    parts = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, accumulate=2))
    ours, ours_later, found = computed(parts, (2, 2, 2), batch, some_params)
    np.testing.assert_allclose([ours, ours_later], [loss, later], rtol=1e-5)
    assert abs(later - loss) > 1e-4, "each step draws anew"
    for name, gradient in gradients.items():
        np.testing.assert_allclose(found[name], gradient, atol=1e-5 * np.abs(gradient).max(), rtol=0, err_msg=name)
