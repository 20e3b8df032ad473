"""Two views of an image through the image tower are what each of them is by itself."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from diptych.pretrain.models.blocks import Compute
from diptych.pretrain.models.dual_encoder import build_model
from diptych.pretrain.randomness import Randomness, step_randomness
from diptych.sharding.axes import Axes


def test_each_view_is_encoded_as_an_image_with_draws_of_its_own(tiny_recipe):
    spec = tiny_recipe().model
    spec = dataclasses.replace(spec, image=dataclasses.replace(spec.image, patch_dropout=0.5, depth=1))
    views = np.random.default_rng(0).integers(0, 256, (4, 2, 32, 32, 3)).astype(np.uint8)
    slots = jnp.array([5, 2, 9, 0])
    random = step_randomness(1, jnp.int32(3), slots)

    @jax.jit
    def found():
        model = build_model(spec, image_size=32, compute=Compute(), rngs=nnx.Rngs(0))
        parts = [Randomness(key=random.of_step("views"), slots=2 * slots + view) for view in (0, 1)]
        each = {
            "evaluated": [model.image.pooled(views[:, view], axes=Axes(), random=None) for view in (0, 1)],
            "trained": [model.image.pooled(views[:, view], axes=Axes(), random=parts[view]) for view in (0, 1)],
        }
        draws = {"evaluated": None, "trained": random}
        return {name: model.encode_views(views, axes=Axes(), random=draws[name]) for name in draws}, each

    both, each = found()
    for name, features in both.items():
        assert features.shape == (4, 2, 32)
        np.testing.assert_allclose(features, np.stack(each[name], axis=1), atol=1e-5)
    assert np.abs(both["trained"] - both["evaluated"]).max() > 0.1
    assert np.abs(both["evaluated"][:, 0] - both["evaluated"][:, 1]).max() > 0.1
