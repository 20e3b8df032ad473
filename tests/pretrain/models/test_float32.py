"""What stays in float32 in towers that compute in bfloat16: sums over tokens, norms; and the products of those that compute in float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diptych.pretrain.checkpoint import targets
from diptych.pretrain.learner import make_learner
from diptych.pretrain.models.blocks import Compute
from diptych.pretrain.models.float32_sums import add, repeat
from diptych.pretrain.models.text_tower import TextTower
from diptych.pretrain.step import batch_shapes
from diptych.sharding.axes import Axes, mesh_axes
from diptych.sharding.layouts import batch_layout, layouts_of, named_leaves, on_mesh, path_name
from diptych.sharding.mesh import abstract_mesh, make_mesh
from diptych.sharding.spec import MeshSpec
from tests.jaxprs import equations

P = jax.P
HIGHEST = (jax.lax.Precision.HIGHEST,) * 2
OUTPUTS = ("image_embedding", "text_embedding", "hidden")


def table_gradient(spec, tokens, cotangents, sizes):
    """The gradient of the token table where that of the embedded tokens is `cotangents`."""
    mesh = make_mesh(MeshSpec(replica=sizes[0], fsdp=sizes[1], tensor=sizes[2]))
    axes, rows = mesh_axes(mesh), batch_layout(mesh)
    graph, state = nnx.split(TextTower(spec, embed_dim=32, compute=Compute(dtype=jnp.bfloat16), rngs=nnx.Rngs(0)))
    layouts = on_mesh(layouts_of(state), mesh)

    def local(params, tokens, cotangents):
        x = nnx.merge(graph, axes.vary(params)).first(tokens, axes=axes)
        return axes.sum((x.astype(jnp.float32) * cotangents).sum())

    with jax.set_mesh(mesh):
        place = lambda value, layout: jax.device_put(value, jax.NamedSharding(mesh, layout))  # noqa: E731
        params = jax.tree.map(place, nnx.as_pure(state), layouts)
        loss = jax.shard_map(local, in_specs=(layouts, rows, rows), out_specs=P())
        return np.asarray(jax.jit(jax.grad(loss))(params, place(tokens, rows), place(cotangents, rows))["embedding"])


@pytest.mark.parametrize("sizes", [(1, 1, 1), (1, 8, 1), (2, 2, 2)], ids=str)
def test_gradient_of_a_frequent_token_is_a_float32_sum(tiny_recipe, sizes):
    spec, rng = tiny_recipe().model.text, np.random.default_rng(0)
    tokens = rng.choice([5, 6, 60], (512, 8), p=[0.8, 0.199, 0.001]).astype(np.int32)
    cotangents = rng.uniform(0.5, 1.5, (512, 8, spec.width)).astype(jnp.bfloat16).astype(np.float32)
    exact = np.zeros((spec.vocab_size, spec.width))
    np.add.at(exact, tokens, cotangents)
    found = table_gradient(spec, tokens, cotangents, sizes)
    for token in (5, 6, 60):
        assert np.abs(found[token] - exact[token]).max() <= 1e-2 * np.abs(exact[token]).max(), token


def step_equations(recipe, sizes):
    mesh = make_mesh(MeshSpec(replica=sizes[0], fsdp=sizes[1], tensor=sizes[2]))
    learner = make_learner(recipe, mesh)
    with jax.set_mesh(mesh):
        params = targets(learner.shapes, learner.layouts, mesh)
        gradient = jax.make_jaxpr(jax.grad(learner.loss, has_aux=True))(params, batch_shapes(recipe, mesh))
    return list(equations(gradient.jaxpr))


def test_the_tables_gradient_leaves_in_bfloat16(tiny_recipe):
    recipe = tiny_recipe(dtype="bfloat16")
    shape = (recipe.model.text.vocab_size, recipe.model.text.width)
    found = step_equations(recipe, (1, 8, 1))
    left = [eqn.invars[0].aval for eqn in found if eqn.primitive.name == "reduce_scatter" and eqn.invars[0].aval.shape == shape]
    assert [aval.dtype for aval in left] == [jnp.bfloat16]
    sums = [eqn.outvars[0].aval.dtype for eqn in found if eqn.primitive.name == "scatter-add" and eqn.outvars[0].aval.shape == shape]
    assert sums == [jnp.float32]


@pytest.mark.parametrize("shared", [add, lambda x, vector: x + repeat(vector[None], like=x)[:, 0]], ids=["add", "repeat"])
def test_gradient_of_a_shared_vector_is_a_float32_sum(shared):
    x, vector = jnp.zeros((100_000, 4), jnp.bfloat16), jnp.zeros(4)
    gradient = jax.jit(jax.grad(lambda vector: (shared(x, vector).astype(jnp.float32) * 0.01).sum()))(vector)
    np.testing.assert_allclose(gradient, 100_000 * float(jnp.bfloat16(0.01)), rtol=1e-4)


def test_norms_of_bfloat16_towers_are_not_rounded(tiny_recipe, random_batch):
    """A scale of 1.002 is 1 in bfloat16: not a bit of the output would change."""
    learner, batch = make_learner(tiny_recipe("coca", dtype="bfloat16"), abstract_mesh(replica=1, fsdp=1, tensor=1)), random_batch()
    outputs = jax.jit(lambda params: nnx.merge(learner.graph, params).model(batch, needs=frozenset(OUTPUTS), axes=Axes()))
    params = jax.jit(learner.init)()
    before, norms = outputs(params), [name for name in named_leaves(params) if name.endswith(".scale")]
    assert any(".layers." in name for name in norms) and any(".pool." in name for name in norms)
    for norm in norms:
        scale = {norm: 1.002}
        after = outputs(jax.tree.map_with_path(lambda path, w, scale=scale: w * scale.get(path_name(path), 1.0), params))
        assert any(not np.array_equal(after[name], value) for name, value in before.items()), norm


@pytest.mark.parametrize("kind", ["clip", "siglip", "coca"])
def test_products_of_float32_towers_are_full_ones(tiny_recipe, kind):
    recipe = tiny_recipe(kind, remat="dots")
    found = [eqn for eqn in step_equations(recipe, (2, 2, 2)) if eqn.primitive.name == "dot_general"]
    assert len(found) > 50 and {eqn.params["precision"] for eqn in found} == {HIGHEST}
    learner = make_learner(recipe, make_mesh(MeshSpec(replica=1, fsdp=1, tensor=1)))
    for encode, rows in ((learner.encode_image, "image"), (learner.encode_text, "text")):
        with jax.set_mesh(learner.mesh):
            forward = jax.make_jaxpr(encode)(learner.shapes, batch_shapes(recipe, learner.mesh)[rows])
        assert {eqn.params["precision"] for eqn in equations(forward.jaxpr) if eqn.primitive.name == "dot_general"} == {HIGHEST}


def test_bfloat16_towers_take_the_fast_products(tiny_recipe):
    found = [eqn for eqn in step_equations(tiny_recipe("coca", dtype="bfloat16"), (1, 1, 1)) if eqn.primitive.name == "dot_general"]
    full = [eqn for eqn in found if eqn.params["precision"] == HIGHEST]
    assert len(full) == 4, "one product of all pairs serves rows and columns; it is made again for its two gradients"
    assert all(operand.aval.dtype == jnp.float32 for eqn in full for operand in eqn.invars)
