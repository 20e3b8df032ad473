"""The captioning term: what exists at once, how the tables' gradients leave, bfloat16, and prefixes. Its values: tests/mesh."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diptych.pretrain.checkpoint import targets
from diptych.pretrain.learner import make_learner
from diptych.pretrain.model_flops import model_flops
from diptych.pretrain.models.caption_draws import prefix_lengths
from diptych.pretrain.objectives.label_likelihoods import label_log_likelihoods, vocab_chunk
from diptych.pretrain.objectives.objective import Objective
from diptych.pretrain.randomness import step_randomness
from diptych.pretrain.spec_objective import CaptioningSpec
from diptych.pretrain.step import batch_shapes
from diptych.sharding.axes import Axes, mesh_axes
from diptych.sharding.mesh import abstract_mesh
from tests.jaxprs import equations

P = jax.P
N, D, V = 96, 8, 200


def with_chunk(recipe, chunk):
    return dataclasses.replace(recipe, objective=dataclasses.replace(recipe.objective, captioning=CaptioningSpec(vocab_chunk=chunk)))


@pytest.mark.parametrize("tensor", [1, 2])
def test_logits_of_the_whole_vocabulary_never_exist(tensor):
    mesh = abstract_mesh(replica=1, fsdp=2, tensor=tensor)
    axes, rows, columns = mesh_axes(mesh), P("fsdp"), P(None, "tensor" if tensor > 1 else None)

    def largest(chunk):
        def local(hidden, labels, table):
            return axes.sum(label_log_likelihoods(*axes.vary((hidden, labels, table)), chunk=chunk, axes=axes).sum())

        loss = jax.shard_map(local, mesh=mesh, in_specs=(rows, rows, columns), out_specs=P())
        shapes = (((2 * N, D), rows, jnp.float32), ((2 * N,), rows, jnp.int32), ((D, tensor * V), columns, jnp.float32))
        given = [jax.ShapeDtypeStruct(shape, dtype, sharding=jax.NamedSharding(mesh, layout)) for shape, layout, dtype in shapes]
        with jax.sharding.use_abstract_mesh(mesh):
            whole = jax.make_jaxpr(jax.value_and_grad(loss, argnums=(0, 2)))(*given).jaxpr
        mapped = [equation.params["jaxpr"] for equation in equations(whole) if equation.primitive.name == "shard_map"]
        return max(math.prod(var.aval.shape) for part in mapped for equation in equations(part) for var in equation.outvars)

    assert largest(V) == N * V
    assert largest(32) == N * 32 > D * V


def test_a_piece_is_what_64_mib_hold_and_no_less_than_1024_columns():
    assert vocab_chunk(rows=4096, columns=64_000) == 4096
    assert vocab_chunk(rows=256 * 63, columns=64_000) == 1024 == vocab_chunk(rows=2**20, columns=64_000)
    assert vocab_chunk(rows=16, columns=64_000) == 64_000
    assert vocab_chunk(rows=4096, columns=32_000, chunk=500) == 500


def test_in_bfloat16_pieces_give_what_the_whole_gives():
    rng = np.random.default_rng(0)
    hidden, table = (jnp.asarray(rng.normal(size=shape), jnp.bfloat16) for shape in ((N, D), (D, V)))
    labels, weights = jnp.asarray(rng.integers(0, V, N)), jnp.asarray(rng.random(N), jnp.float32)

    @jax.jit
    def both(hidden, table):
        def loss(hidden, table, chunk):
            return (weights * label_log_likelihoods(hidden, labels, table, chunk=chunk, axes=Axes())).sum()

        return [jax.value_and_grad(loss, argnums=(0, 1))(hidden, table, chunk) for chunk in (V, 30)]

    (whole, expected), (value, gradients) = both(hidden, table)
    np.testing.assert_allclose(value, whole, rtol=1e-6)
    for gradient, other in zip(gradients, expected, strict=True):
        assert gradient.dtype == jnp.bfloat16
        wide = np.asarray(other, np.float32)
        assert np.abs(np.asarray(gradient, np.float32) - wide).max() <= 1e-2 * np.abs(wide).max()


def test_gradients_of_both_tables_leave_by_reduce_scatter(tiny_recipe):
    mesh, recipe = abstract_mesh(replica=2, fsdp=4, tensor=2), with_chunk(tiny_recipe("coca"), 12)
    text = dataclasses.replace(recipe.model.text, vocab_size=160)
    learner = make_learner(dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, text=text)), mesh)
    with jax.sharding.use_abstract_mesh(mesh):
        params = targets(learner.shapes, learner.layouts, mesh)
        given = (params, batch_shapes(recipe, mesh), jax.ShapeDtypeStruct((), jnp.int32))
        found = list(equations(jax.make_jaxpr(jax.grad(learner.loss, has_aux=True))(*given).jaxpr))
    scattered = [equation.outvars[0].aval.shape for equation in found if equation.primitive.name == "reduce_scatter"]
    assert scattered.count((text.width // 4, text.vocab_size // 2)) == 1  # of the output
    assert scattered.count((text.vocab_size // 4, text.width)) == 1  # of the tokens
    sums = [equation for equation in found if equation.primitive.name.startswith("psum") and "fsdp" in equation.params["axes"]]
    vectors = max(math.prod(var.aval.shape) for equation in sums for var in equation.outvars)
    assert 1 < vectors <= 4 * text.width  # norms and biases


def test_model_flops_do_not_depend_on_pieces(tiny_recipe):
    mesh = abstract_mesh(replica=1, fsdp=1, tensor=1)
    assert model_flops(with_chunk(tiny_recipe("coca"), 12), mesh) == model_flops(with_chunk(tiny_recipe("coca"), None), mesh)


def test_no_word_of_a_prefix_is_a_label(tiny_recipe, random_batch):
    model = tiny_recipe("coca").model
    model = dataclasses.replace(model, decoder=dataclasses.replace(model.decoder, attention="prefix"))
    term = Objective(tiny_recipe("coca").objective, model=model, rngs=nnx.Rngs(0)).terms["captioning"]
    batch, rng = random_batch(), np.random.default_rng(1)
    hidden, table = (jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((16, 8, 32), (32, 64)))
    logits = np.asarray(hidden, np.float64) @ np.asarray(table, np.float64)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    for random in (step_randomness(0, jnp.int32(5), jnp.asarray(batch["slot"])), None):
        ends = np.array([list(row).index(63) for row in batch["text"]])
        prefixes = np.asarray(prefix_lengths(jnp.asarray(ends), random=random))
        assert (prefixes > 1).any() == (random is not None)
        labels = [(row, place) for row in range(16) for place in range(prefixes[row], ends[row] + 1)]
        expected = -np.mean([log_p[row, place - 1, batch["text"][row, place]] for row, place in labels])
        output = term({"hidden": hidden, "unembedding": table}, batch, axes=Axes(), random=random)
        np.testing.assert_allclose(output.loss, expected, rtol=1e-5)
        assert float(term.weight(batch, axes=Axes(), random=random)) == len(labels)
