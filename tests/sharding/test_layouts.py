import dataclasses

import jax
import jax.numpy as jnp
import pytest

from diptych.errors import UserError
from diptych.pretrain.learner import make_learner
from diptych.sharding.layouts import LAYERS, check_layouts, fitted, is_layout, named_leaves, on_mesh, places
from diptych.sharding.mesh import abstract_mesh, make_mesh
from diptych.sharding.spec import MeshSpec

P = jax.P


def test_axes_of_one_device_leave_the_layouts():
    layouts = {"a": P("fsdp", "tensor"), "b": P(("tensor", "fsdp"), None), "c": P()}
    assert on_mesh(layouts, abstract_mesh(replica=2, fsdp=4, tensor=1)) == {"a": P("fsdp", None), "b": P("fsdp", None), "c": P()}
    assert on_mesh(layouts, abstract_mesh(replica=1, fsdp=1, tensor=1)) == {"a": P(None, None), "b": P(None, None), "c": P()}


def test_a_dimension_that_its_axes_do_not_divide_is_named():
    shapes, layouts = {"w": jax.ShapeDtypeStruct((6, 10), jnp.float32)}, {"w": P(("tensor", "fsdp"), None)}
    with pytest.raises(UserError, match=r"mesh.tensor x mesh.fsdp = 8 .* 6 of parameter w \(6, 10\)"):
        check_layouts(shapes, layouts, {"fsdp": 4, "tensor": 2})


def test_stacked_layers_keep_the_layer_axis_whole(tiny_recipe):
    layouts = named_leaves(make_learner(tiny_recipe(), abstract_mesh(replica=1, fsdp=4, tensor=2)).layouts, is_leaf=is_layout)
    assert layouts["model.image.blocks.layers.attention.qkv"] == P(None, "fsdp", "tensor")
    assert layouts["model.image.blocks.layers.mlp.down"] == P(None, ("tensor", "fsdp"), None)


def test_places_are_the_layouts_on_a_mesh():
    mesh = make_mesh(MeshSpec(replica=2, fsdp=2, tensor=2))
    layouts = {"a": P("fsdp", "tensor"), "b": (P(), P(("tensor", "fsdp"), None))}
    expected = {"a": jax.NamedSharding(mesh, P("fsdp", "tensor")), "b": tuple(jax.NamedSharding(mesh, layout) for layout in layouts["b"])}
    assert places(layouts, mesh) == expected


def test_fsdp_moves_to_a_dimension_that_it_divides():
    sizes = {"replica": 4, "fsdp": 64, "tensor": 1}
    assert fitted(P(("tensor", "fsdp"), None), (4304, 1152), sizes) == P("tensor", "fsdp")
    assert fitted(P(LAYERS, ("tensor", "fsdp"), None), (64, 4304, 1152), sizes) == P(LAYERS, "tensor", "fsdp"), "never the stack's"
    assert fitted(P("fsdp", "tensor"), (100, 1152), {**sizes, "tensor": 2}) == P(None, ("tensor", "fsdp"))
    assert fitted(P("fsdp", None), (640, 1152), sizes) == P("fsdp", None)
    assert fitted(P("fsdp", None), (100, 100), sizes) == P("fsdp", None), "for check_layouts to name"


def test_what_fsdp_could_not_divide_is_the_same_function(tiny_recipe, random_batch):
    """Of 12 hidden units 8 devices divide none: `down` lies with its columns over fsdp."""
    recipe = tiny_recipe("clip", remat="full")
    tower = dataclasses.replace(recipe.model.image, mlp_dim=12)
    recipe = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, image=tower))
    learner, batch = make_learner(recipe, make_mesh(MeshSpec(replica=1, fsdp=8, tensor=1))), random_batch()
    assert named_leaves(learner.layouts, is_leaf=is_layout)["model.image.blocks.layers.mlp.down"] == P(None, None, "fsdp")
    params = jax.jit(learner.init)()
    want_loss, want = jax.jit(jax.value_and_grad(lambda params: learner.dense_loss(params, batch)[0]))(params)
    with jax.set_mesh(learner.mesh):
        placed = jax.device_put(params, places(learner.layouts, learner.mesh))
        rows = jax.device_put(batch, jax.NamedSharding(learner.mesh, P("fsdp")))
        loss, gradients = jax.jit(jax.value_and_grad(lambda params, batch: learner.loss(params, batch)[0]))(placed, rows)
    assert float(loss) == pytest.approx(float(want_loss), rel=1e-5)
    down, expected = (jax.device_get(named_leaves(tree)["model.image.blocks.layers.mlp.down"]) for tree in (gradients, want))
    assert abs(down - expected).max() <= 1e-5 * abs(expected).max()
