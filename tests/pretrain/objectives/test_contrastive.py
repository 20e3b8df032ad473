"""Accuracy, precision and bounds of the contrastive terms, on one device and on a mesh of eight."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.extend.core import jaxprs_in_params

from diptych.errors import UserError
from diptych.pretrain.learner import make_learner
from diptych.pretrain.objectives.objective import Objective
from diptych.pretrain.optimizer import make_optimizer
from diptych.pretrain.spec import ModelSpec, ObjectiveSpec
from diptych.pretrain.state import initial_state
from diptych.pretrain.step import make_step
from diptych.sharding.axes import Axes, mesh_axes
from diptych.sharding.layouts import batch_layout, named_leaves
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec

P = jax.P
MESHES = [(1, 1, 1), (2, 4, 1), (2, 2, 2)]
CONTRASTIVE = ["softmax", "sigmoid"]


def objective(name, **settings):
    return Objective(ObjectiveSpec(terms={name: 1.0}, **settings), model=ModelSpec(), rngs=nnx.Rngs(0))


def accuracy(name, images, texts, sizes=(1, 1, 1)):
    mesh = make_mesh(MeshSpec(replica=sizes[0], fsdp=sizes[1], tensor=sizes[2]))
    axes, rows = mesh_axes(mesh), batch_layout(mesh)
    graph, state = nnx.split(objective(name))

    def local(images, texts, state):
        outputs = {"image_embedding": images, "text_embedding": texts}
        return nnx.merge(graph, axes.vary(state))(outputs, {}, axes=axes).metrics["i2t_accuracy"]

    with jax.set_mesh(mesh):
        placed = [jax.device_put(value, jax.NamedSharding(mesh, rows)) for value in (images, texts)]
        state = jax.tree.map(lambda x: jax.device_put(x, jax.NamedSharding(mesh, P())), nnx.as_pure(state))
        return float(jax.jit(jax.shard_map(local, in_specs=(rows, rows, P()), out_specs=P()))(*placed, state))


def unit_rows(count, width=96, seed=0):
    rows = np.random.default_rng(seed).normal(size=(count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("sizes", MESHES, ids=str)
@pytest.mark.parametrize("name", CONTRASTIVE)
def test_a_perfect_batch_is_all_right(name, sizes):
    assert accuracy(name, unit_rows(512), unit_rows(512), sizes) == 1.0


@pytest.mark.parametrize("sizes", MESHES, ids=str)
@pytest.mark.parametrize("name", CONTRASTIVE)
def test_each_row_counts_where_its_match_lies(name, sizes):
    texts = unit_rows(64)
    images = texts.copy()
    images[[3, 40, 41]] = texts[[4, 41, 40]]
    assert accuracy(name, images, texts, sizes) == 61 / 64


@pytest.mark.parametrize("value", [0.5, np.nan], ids=["ties", "nan"])
@pytest.mark.parametrize("name", CONTRASTIVE)
def test_ties_and_what_is_no_number_count_against(name, value):
    rows = np.full((16, 8), value, np.float32)
    assert accuracy(name, rows, rows) == 0.0


def products(jaxpr):
    """All `dot_general` equations of a jaxpr and of what it calls."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from products(inner)


@pytest.mark.parametrize("name", [*CONTRASTIVE, "captioning"])
def test_products_of_logits_and_of_their_gradients_are_full_float32(name):
    module, text = objective(name), jnp.zeros((4, 6), jnp.int32)
    shapes = {"image_embedding": (4, 8), "text_embedding": (4, 8), "hidden": (4, 6, 8), "unembedding": (8, 24)}
    outputs = {key: jnp.ones(shape) for key, shape in shapes.items()}
    gradient = jax.make_jaxpr(jax.grad(lambda outputs: module(outputs, {"text": text}, axes=Axes()).loss))(outputs)
    found = [equation.params["precision"] for equation in products(gradient.jaxpr)]
    assert len(found) >= 3 and set(found) == {(jax.lax.Precision.HIGHEST,) * 2}


def test_a_step_clamps_the_scale_to_its_bounds(tiny_recipe, random_batch):
    recipe = tiny_recipe()
    recipe = dataclasses.replace(recipe, optimizer=dataclasses.replace(recipe.optimizer, peak_lr=3.0, schedule="constant", warmup_steps=0))
    learner = make_learner(recipe, make_mesh(MeshSpec(replica=1, fsdp=1, tensor=1)))
    optimizer = make_optimizer(recipe.optimizer, steps=2)
    with jax.set_mesh(learner.mesh):
        state, _ = jax.jit(make_step(learner, optimizer))(initial_state(learner, optimizer), random_batch())
    assert float(state.params["objective"]["terms"]["softmax"]["logit_scale"]) in (0.0, np.float32(np.log(100.0)))


@pytest.mark.parametrize("log_scale", [-1.0, 6.0])
def test_a_scale_that_is_given_is_within_its_bounds_before_the_first_step(tiny_recipe, log_scale):
    learner = make_learner(tiny_recipe(), make_mesh(MeshSpec(replica=1, fsdp=1, tensor=1)))
    optimizer = make_optimizer(learner.recipe.optimizer, steps=2)
    given = jax.tree.map(lambda leaf: jnp.full(leaf.shape, log_scale), learner.shapes)
    params = named_leaves(jax.jit(lambda given: initial_state(learner, optimizer, given).params)(given))
    assert float(params.pop("objective.terms.softmax.logit_scale")) == np.float32(min(max(log_scale, 0), np.log(100.0)))
    assert all((value == log_scale).all() for value in params.values())


@pytest.mark.parametrize("name", CONTRASTIVE)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"init_scale": 0.5}, r"objective.init_scale = 0.5 is outside .* accepted is 1 to objective.max_scale = 100.0"),
        ({"init_scale": 200.0}, r"objective.init_scale = 200.0 is outside"),
        ({"init_scale": 0.5, "max_scale": 0.7}, r"objective.max_scale = 0.7 is below 1"),
    ],
    ids=str,
)
def test_a_scale_that_the_first_step_would_move_is_refused(name, settings, message):
    with pytest.raises(UserError, match=message):
        objective(name, **settings)


def test_without_a_largest_scale_any_start_goes(tiny_recipe):
    objective("sigmoid", init_scale=0.5, max_scale=None)
    assert make_learner(tiny_recipe("siglip"), make_mesh(MeshSpec(replica=1, fsdp=1, tensor=1))).bounds == {}
