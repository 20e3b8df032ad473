"""Each term against its definition in float64, written here from the papers, on one device and on meshes."""

import jax
import numpy as np
import pytest
from flax import nnx

from diptych.pretrain.objectives.objective import Objective
from diptych.pretrain.spec import ModelSpec, ObjectiveSpec, TextTowerSpec
from diptych.pretrain.step import objective_values
from diptych.sharding.axes import Axes, mesh_axes
from diptych.sharding.layouts import batch_layout
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec

B, E, T, D, V = 16, 8, 6, 8, 24
EOS = 23
MODEL = ModelSpec(text=TextTowerSpec(eos_id=EOS))
P = jax.P


def softmax(z, t, scale):
    logits = scale * z @ t.T
    lse = lambda x, axis: np.log(np.exp(x - x.max(axis, keepdims=True)).sum(axis)) + x.max(axis)  # noqa: E731
    return (lse(logits, 1) + lse(logits, 0) - 2 * np.diag(logits)).mean() / 2


def sigmoid(z, t, scale, bias):
    labels = 2 * np.eye(len(z)) - 1
    return np.logaddexp(0, -labels * (scale * z @ t.T + bias)).sum() / len(z)


def captioning(hidden, unembedding, text):
    logits = hidden[:, :-1] @ unembedding
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    total = count = 0
    for row, tokens in zip(log_p, text):
        end = list(tokens).index(EOS)
        total -= sum(row[t, tokens[t + 1]] for t in range(end))
        count += end
    return total / count


@pytest.fixture(scope="module")
def outputs():
    rng = np.random.default_rng(0)
    unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)  # noqa: E731
    text = rng.integers(1, 20, (B, T)).astype(np.int32)
    for row, end in zip(text, rng.integers(1, T, B)):
        row[end], row[end + 1 :] = EOS, 0
    image, words = unit(rng.normal(size=(B, E))), unit(rng.normal(size=(B, E)))
    named = {
        "image_embedding": image,
        "text_embedding": words,
        "hidden": rng.normal(size=(B, T, D)),
        "unembedding": rng.normal(size=(D, V)),
    }
    return {name: value.astype(np.float32) for name, value in named.items()}, text


def objective(terms, scale):
    return Objective(ObjectiveSpec(terms=terms, init_scale=scale, init_bias=-3.0), model=MODEL, rngs=nnx.Rngs(0))


def on_mesh(module, named, text, sizes):
    """Loss and gradients with respect to the named outputs, as per-device code on a mesh."""
    mesh = make_mesh(MeshSpec(replica=sizes[0], fsdp=sizes[1], tensor=sizes[2]))
    axes, rows = mesh_axes(mesh), batch_layout(mesh)
    layouts = {name: P(None, axes.tensor) if name == "unembedding" else rows for name in named}
    graph, state = nnx.split(module)

    def local(named, text, state):
        return nnx.merge(graph, axes.vary(state))(axes.vary(named), {"text": text}, axes=axes).loss

    with jax.set_mesh(mesh):
        place = lambda value, layout: jax.device_put(value, jax.NamedSharding(mesh, layout))  # noqa: E731
        loss = jax.shard_map(local, in_specs=(layouts, rows, P()), out_specs=P())
        named = {name: place(value, layouts[name]) for name, value in named.items()}
        state = jax.tree.map(lambda x: place(x, P()), nnx.as_pure(state))
        return jax.device_get(jax.jit(jax.value_and_grad(loss))(named, place(text, rows), state))


@pytest.mark.parametrize("scale", [1 / 0.07, 100.0])
@pytest.mark.parametrize("name", ["softmax", "sigmoid", "captioning"])
def test_value_is_the_definition_in_float64(outputs, name, scale):
    named, text = outputs
    wide = {key: value.astype(np.float64) for key, value in named.items()}
    expected = {
        "softmax": lambda: softmax(wide["image_embedding"], wide["text_embedding"], scale),
        "sigmoid": lambda: sigmoid(wide["image_embedding"], wide["text_embedding"], scale, -3.0),
        "captioning": lambda: captioning(wide["hidden"], wide["unembedding"], text),
    }[name]()
    value, _ = on_mesh(objective({name: 1.0}, scale), named, text, (1, 1, 1))
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("sizes", [(1, 8, 1), (2, 2, 2), (8, 1, 1)], ids=str)
@pytest.mark.parametrize("name", ["softmax", "sigmoid", "captioning"])
def test_gradients_are_those_of_one_device(outputs, name, sizes):
    named, text = outputs
    module = objective({name: 1.0}, 100.0)
    value, gradients = on_mesh(module, named, text, (1, 1, 1))
    other, others = on_mesh(module, named, text, sizes)
    np.testing.assert_allclose(other, value, rtol=1e-6)
    for key, gradient in gradients.items():
        assert np.abs(others[key] - gradient).max() <= 1e-5 * np.abs(gradient).max(), key


@pytest.mark.parametrize("name", ["softmax", "sigmoid"])
def test_gradient_agrees_with_differences_in_float64(outputs, name):
    named, text = outputs
    scale, step = 20.0, 1e-6
    _, gradients = on_mesh(objective({name: 1.0}, scale), named, text, (1, 1, 1))
    z, t = named["image_embedding"].astype(np.float64), named["text_embedding"].astype(np.float64)
    definition = {"softmax": lambda z: softmax(z, t, scale), "sigmoid": lambda z: sigmoid(z, t, scale, -3.0)}[name]
    for place in [(0, 0), (3, 5), (15, 7)]:
        nudge = np.zeros_like(z)
        nudge[place] = step
        slope = (definition(z + nudge) - definition(z - nudge)) / (2 * step)
        assert abs(gradients["image_embedding"][place] - slope) <= 1e-5 * np.abs(gradients["image_embedding"]).max()


def test_weighted_terms_add_up(outputs):
    named, text = outputs
    both, _ = on_mesh(objective({"softmax": 1.0, "captioning": 2.0}, 10.0), named, text, (1, 1, 1))
    alone = [on_mesh(objective({name: 1.0}, 10.0), named, text, (1, 1, 1))[0] for name in ("softmax", "captioning")]
    np.testing.assert_allclose(both, alone[0] + 2 * alone[1], rtol=1e-6)


def test_a_term_of_weight_zero_has_no_parameters():
    assert jax.tree.leaves(nnx.state(objective({"softmax": 0.0, "captioning": 1.0}, 10.0))) == []


def test_terms_that_measure_the_same_are_told_apart(outputs):
    named, text = outputs
    both = objective({"softmax": 1.0, "sigmoid": 1.0}, 10.0)
    metrics = both(named, {"text": text}, axes=Axes()).metrics
    assert metrics.keys() == {"i2t_accuracy/softmax", "i2t_accuracy/sigmoid", "loss/softmax", "loss/sigmoid"}
    values = objective_values({"objective": nnx.as_pure(nnx.state(both))})
    assert values.keys() == {"logit_scale/softmax", "logit_scale/sigmoid", "logit_bias"}
    alone = objective({"softmax": 1.0, "captioning": 1.0}, 10.0)(named, {"text": text}, axes=Axes()).metrics
    assert alone.keys() == {"i2t_accuracy", "caption_perplexity", "loss/softmax", "loss/captioning"}


def test_captions_without_a_word_have_no_loss(outputs):
    named, text = outputs
    empty = np.full_like(text, EOS)
    loss, gradients = on_mesh(objective({"captioning": 1.0}, 10.0), named, empty, (1, 1, 1))
    assert loss == 0 and all(not np.any(gradient) for gradient in gradients.values())
