"""NT-Xent where little is left to learn: views of an image nearly alike, and a batch of one image."""

import jax
import jax.numpy as jnp
import numpy as np

from diptych.pretrain.objectives.forms import choose_form
from diptych.pretrain.objectives.forms_views import view_cross_entropies
from diptych.sharding.axes import Axes

IMAGES, WIDTH, SCALE = 48, 24, 1 / 0.07


def ours(views):
    form = choose_form(rows=len(views), devices=1, width=WIDTH)
    return jax.jit(jax.value_and_grad(lambda views: view_cross_entropies(views, SCALE, form, Axes())[0].mean()))(views)


def test_small_gradients_keep_their_digits():
    rng = np.random.default_rng(1)
    views = rng.normal(size=(IMAGES, 1, WIDTH)) + 0.3 * rng.normal(size=(IMAGES, 2, WIDTH))
    views = (views / np.linalg.norm(views, axis=-1, keepdims=True)).reshape(2 * IMAGES, WIDTH).astype(np.float32)
    loss, gradient = ours(views)
    wide = views.astype(np.float64)
    logits = SCALE * wide @ wide.T
    np.fill_diagonal(logits, -np.inf)
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    match = np.eye(2 * IMAGES)[np.arange(2 * IMAGES) ^ 1]
    expected = SCALE * ((p - match) + (p - match).T) @ wide / len(wide)
    assert loss < 0.01
    np.testing.assert_allclose(loss, -np.log(p[match > 0]).mean(), rtol=1e-5)
    assert np.abs(gradient - expected).max() <= 1e-5 * np.abs(expected).max()  # 2e-5 by p - 1 in float32


def test_a_batch_of_one_image_has_no_loss():
    loss, gradient = ours(jnp.eye(2, WIDTH))
    assert loss == 0 and not np.any(gradient)
