"""Loss and gradients of the softmax and the sigmoid term equal those of open_clip's losses, on the same embeddings."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

if not os.environ.get("DIPTYCH_PARITY"):
    pytest.skip("parity tests need DIPTYCH_PARITY=1 and the `parity` extra", allow_module_level=True)

import torch
from flax import nnx
from open_clip.loss import ClipLoss, SigLipLoss

from diptych.pretrain.objectives.objective import Objective
from diptych.pretrain.spec import ModelSpec, ObjectiveSpec
from diptych.sharding.axes import Axes

B, E = 96, 64


def unit(x):
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def embeddings():
    rng = np.random.default_rng(0)
    images = unit(rng.normal(size=(B, E)))
    return images, unit(images + 0.2 * rng.normal(size=(B, E)))


def of_torch(name, images, texts, scale, bias):
    """open_clip's loss, and its gradients with regard to images, texts, scale and bias, in float64."""
    tensors = [torch.tensor(np.float64(value), requires_grad=True) for value in (images, texts, scale, bias)]
    loss = ClipLoss()(*tensors[:3]) if name == "softmax" else SigLipLoss()(*tensors)
    loss.backward()
    return loss.item(), [None if x.grad is None else x.grad.numpy() for x in tensors]


@pytest.mark.parametrize("form", ["gather", "chunked", "ring"])
@pytest.mark.parametrize("scale", [1 / 0.07, 100.0])
@pytest.mark.parametrize("name", ["softmax", "sigmoid"])
def test_loss_and_gradients_are_those_of_open_clip(name, scale, form):
    images, texts = embeddings()
    spec = ObjectiveSpec(terms={name: 1.0}, init_scale=scale, init_bias=-10.0, form=form, chunk=20)
    graph, state = nnx.split(Objective(spec, model=ModelSpec(), rngs=nnx.Rngs(0)))

    def loss(images, texts, state):
        return nnx.merge(graph, state)({"image_embedding": images, "text_embedding": texts}, {}, axes=Axes()).loss

    value, (of_images, of_texts, of_state) = jax.value_and_grad(loss, argnums=(0, 1, 2))(
        jnp.asarray(images), jnp.asarray(texts), nnx.as_pure(state)
    )
    expected, (image_grads, text_grads, scale_grad, bias_grad) = of_torch(name, images, texts, scale, -10.0)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    own = of_state["terms"][name]
    pairs = [(of_images, image_grads), (of_texts, text_grads), (own["logit_scale"], scale * scale_grad)]
    pairs += [(own["logit_bias"], bias_grad)] if name == "sigmoid" else []
    for found, gradient in pairs:
        assert np.abs(found - gradient).max() <= 1e-5 * np.abs(gradient).max()
