"""Every registered term by microbatch: loss, metrics and gradients of the whole batch. A stand-in for the model compiles fast."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diptych.errors import UserError
from diptych.pretrain.accumulate import accumulated
from diptych.pretrain.check_devices import check_devices
from diptych.pretrain.frozen import trained
from diptych.pretrain.learner import Learner
from diptych.pretrain.models.blocks import Compute
from diptych.pretrain.models.dual_encoder import unit
from diptych.pretrain.models.parameters import normal, parameter
from diptych.pretrain.objectives.objective import Objective
from diptych.pretrain.objectives.term import TERMS
from diptych.pretrain.spec_objective import MochiSpec, SelfSupervisedSpec
from diptych.sharding.axes import Axes
from diptych.sharding.layouts import named_leaves

ROWS, WIDTH, VOCAB = 8, 8, 64


class StandIn(nnx.Module):
    """Linear in the batch, with a draw for each row: outputs by the names that terms need."""

    def __init__(self, *, rngs):
        self.image = parameter(normal(0.1), (12, WIDTH), rngs=rngs)
        self.text = parameter(normal(1.0), (VOCAB, WIDTH), rngs=rngs)
        self.unembedding = parameter(normal(0.3), (WIDTH, VOCAB), rngs=rngs)

    def __call__(self, batch, *, needs, axes, random):
        noise = jax.vmap(lambda key: jax.random.normal(key, (WIDTH,)))(random.of_rows("stand-in"))
        image = batch["image"].reshape(len(batch["image"]), -1)[:, :12] / 255 @ self.image[...] + 0.1 * noise
        hidden = self.text[...][batch["text"]]
        outputs = {
            "image_embedding": unit(image),
            "text_embedding": unit(hidden.mean(1) + 0.1 * noise),
            "hidden": hidden + image[:, None],
            "unembedding": self.unembedding[...],
            "view_features": jnp.tile(image + 0.1 * noise, (1, 8)).reshape(-1, 2, 32) * jnp.arange(1, 33),
            "teacher_image_embedding": unit(jnp.sin(9 * image)),
            "teacher_image_query": 5 * unit(jnp.sin(9 * image)),
            "teacher_text_embedding": unit(jnp.cos(9 * image)),
        }
        return {name: outputs[name] for name in needs}


class StandInLearner(nnx.Module):
    def __init__(self, recipe, *, rngs):
        self.model = StandIn(rngs=rngs)
        self.objective = Objective(recipe.objective, model=recipe.model, rngs=rngs)

    def outputs(self, batch, **given):
        return self.model(batch, **given)


def both(recipe, batch, *, freeze=()):
    """(output, gradients) by microbatch, and of the whole batch at once."""
    graph, state = nnx.split(StandInLearner(recipe, rngs=nnx.Rngs(0)))
    params, mesh = nnx.as_pure(state), types.SimpleNamespace()
    which = trained(params, freeze)
    learner = Learner(graph, params, None, {}, which, recipe, Compute(), mesh)
    ours = jax.jit(lambda *given: accumulated(learner, *given, axes=Axes()))(params, batch, jnp.int32(3))
    return ours, jax.jit(jax.value_and_grad(learner.dense_loss, has_aux=True))(params, batch, jnp.int32(3))


def with_terms(recipe, terms, *, parts=4):
    mochi, views = MochiSpec(hardest=5, mixed=4, with_query=3), SelfSupervisedSpec(projector=(16, 8))
    objective = dataclasses.replace(recipe.objective, terms=terms, mochi=mochi, self_supervised=views)
    return dataclasses.replace(recipe, objective=objective, train=dataclasses.replace(recipe.train, accumulate=parts))


@pytest.mark.parametrize(
    "terms", [*({name: 0.7} for name in sorted(TERMS)), {"softmax": 1.0, "sigmoid": 0.5, "captioning": 2.0}], ids="+".join
)
def test_a_term_by_microbatch_is_that_of_the_whole_batch(tiny_recipe, random_batch, terms):
    batch = random_batch(2, size=ROWS)
    batch["text"][:2, 0] = 63  # the first microbatch has no word to predict
    (output, gradients), ((loss, metrics), expected) = both(with_terms(tiny_recipe("coca"), terms), batch)
    np.testing.assert_allclose(output.loss, loss, rtol=1e-5)
    assert output.metrics.keys() == metrics.keys()
    for name, value in metrics.items():
        np.testing.assert_allclose(output.metrics[name], value, rtol=1e-5, err_msg=name)
    wanted = named_leaves(expected)
    assert any(np.any(gradient) for gradient in wanted.values())
    for name, gradient in named_leaves(gradients).items():
        np.testing.assert_allclose(gradient, wanted[name], atol=1e-5 * np.abs(wanted[name]).max(), rtol=0, err_msg=name)


def test_prefixes_by_microbatch_are_those_of_the_whole_batch(tiny_recipe, random_batch):
    recipe = with_terms(tiny_recipe("coca"), {"captioning": 1.0})
    decoder = dataclasses.replace(recipe.model.decoder, attention="prefix")
    recipe = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, decoder=decoder))
    (output, gradients), ((loss, metrics), expected) = both(recipe, random_batch(2, size=ROWS))
    np.testing.assert_allclose(output.loss, loss, rtol=1e-5)
    np.testing.assert_allclose(output.metrics["caption_perplexity"], metrics["caption_perplexity"], rtol=1e-5)
    wanted = named_leaves(expected)
    for name, gradient in named_leaves(gradients).items():
        np.testing.assert_allclose(gradient, wanted[name], atol=1e-5 * np.abs(wanted[name]).max(), rtol=0, err_msg=name)


def test_a_batch_without_any_caption_has_no_captioning_loss(tiny_recipe, random_batch):
    batch = random_batch(2, size=ROWS)
    batch["text"][:, 0] = 63
    (output, gradients), _ = both(with_terms(tiny_recipe("coca"), {"captioning": 1.0}), batch)
    assert float(output.loss) == 0 and float(output.metrics["caption_perplexity"]) == 1
    assert not any(np.any(gradient) for gradient in jax.tree.leaves(gradients))


def test_what_is_frozen_has_no_gradient(tiny_recipe, random_batch):
    recipe, batch = with_terms(tiny_recipe("coca"), {"softmax": 1.0, "captioning": 1.0}), random_batch(2, size=ROWS)
    (_, gradients), (_, expected) = both(recipe, batch, freeze=(r"model\.text",))
    found, wanted = named_leaves(gradients), named_leaves(expected)
    assert wanted.keys() - found.keys() == {"model.text"}
    for name, gradient in found.items():
        np.testing.assert_allclose(gradient, wanted[name], atol=1e-5 * np.abs(wanted[name]).max(), rtol=0, err_msg=name)


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        ((r"model\.imag",), r"optimizer\.freeze has 'model.*imag', which matches no parameter"),
        ((r".*",), r"optimizer\.freeze = .* leaves nothing to train"),
    ],
)
def test_patterns_that_freeze_nothing_or_all_are_refused(freeze, message):
    with pytest.raises(UserError, match=message):
        trained({"model": {"image": jnp.ones(3), "text": jnp.ones(2)}}, freeze)


def test_microbatches_divide_a_devices_rows(tiny_recipe):
    recipe = with_terms(tiny_recipe(), {"softmax": 1.0}, parts=3)
    message = r"train.batch_size = 16 is not divisible by mesh.replica x mesh.fsdp x train.accumulate = 12; accepted is a multiple of 12"
    with pytest.raises(UserError, match=message):
        check_devices(recipe, device_count=4)
