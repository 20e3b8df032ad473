import jax
import jax.numpy as jnp
import pytest

from diptych.errors import UserError
from diptych.pretrain.learner import make_learner
from diptych.sharding.layouts import check_layouts, is_layout, named_leaves, on_mesh, places
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
