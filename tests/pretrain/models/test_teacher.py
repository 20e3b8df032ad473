"""What a teacher gives: its towers' embeddings, and its own scale."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from diptych.pretrain.models.blocks import Compute
from diptych.pretrain.models.teacher import Teacher
from diptych.sharding.axes import Axes

ALL = frozenset({"teacher_image_embedding", "teacher_image_query", "teacher_text_embedding"})


def test_embeddings_of_its_towers_and_queries_with_the_factor_that_it_was_trained_with(tiny_recipe, random_batch):
    spec, batch = tiny_recipe().model, random_batch(size=4)
    spec = dataclasses.replace(spec, **{part: dataclasses.replace(getattr(spec, part), depth=1) for part in ("image", "text")})

    @jax.jit
    def found():
        teacher = Teacher(spec, image_size=32, compute=Compute(), rngs=nnx.Rngs(0))
        teacher.logit_scale[...] = jnp.log(20.0)
        wanted = teacher.towers.encode_image(batch["image"], axes=Axes()), teacher.towers.encode_text(batch["text"], axes=Axes())
        return teacher(batch, needs=ALL, axes=Axes()), wanted

    outputs, (images, texts) = found()
    assert outputs.keys() == ALL
    np.testing.assert_allclose(outputs["teacher_image_embedding"], images, atol=1e-6)
    np.testing.assert_allclose(outputs["teacher_text_embedding"], texts, atol=1e-6)
    np.testing.assert_allclose(outputs["teacher_image_query"], 20 * images, atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(outputs["teacher_image_query"], axis=1), 20, rtol=1e-5)
