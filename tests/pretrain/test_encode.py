import dataclasses

import jax
import numpy as np
import pytest

from diptych.pretrain.encode import Rows, array_rows, make_encoders, place
from diptych.pretrain.learner import make_learner
from diptych.sharding.layouts import places
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec

MESHES = [MeshSpec(replica=1, fsdp=1, tensor=1), MeshSpec(replica=2, fsdp=2, tensor=2), MeshSpec(replica=1, fsdp=8, tensor=1)]


def placed_params(learner):
    return jax.jit(learner.init, out_shardings=places(learner.layouts, learner.mesh))()


@pytest.mark.parametrize("spec", MESHES, ids=str)
def test_embeddings_are_those_of_the_dense_model_in_order(tiny_recipe, random_batch, spec):
    batch, learner = random_batch(size=19), make_learner(tiny_recipe(), make_mesh(spec))
    with jax.set_mesh(learner.mesh):
        params, encoders = placed_params(learner), make_encoders(learner, batch_size=5)
        images, texts = encoders.images(params, array_rows(batch["image"])), encoders.texts(params, batch["text"])
    one = make_learner(tiny_recipe(), make_mesh(MESHES[0]))
    with jax.set_mesh(one.mesh):
        whole = jax.device_put(jax.tree.map(np.asarray, params), jax.NamedSharding(one.mesh, jax.P()))
        np.testing.assert_allclose(images, jax.jit(one.encode_image)(whole, batch["image"]), atol=1e-5)
        np.testing.assert_allclose(texts, jax.jit(one.encode_text)(whole, batch["text"]), atol=1e-5)
    assert images.dtype == np.float32 and images.shape == (19, 32)


def test_a_batch_size_that_the_mesh_does_not_divide_is_raised(tiny_recipe):
    learner = make_learner(tiny_recipe(), make_mesh(MESHES[2]))
    assert [make_encoders(learner, batch_size=size).batch_size for size in (1, 8, 9)] == [8, 8, 16]


def test_one_compile_for_data_sets_of_any_size(tiny_recipe, random_batch):
    learner = make_learner(tiny_recipe(), make_mesh(MESHES[0]))
    with jax.set_mesh(learner.mesh):
        params, encoders = placed_params(learner), make_encoders(learner, batch_size=8)
        for size in (3, 8, 19):
            encoders.texts(params, random_batch(size=size)["text"])
    assert encoders.encode_text._cache_size() == 1


def test_each_row_is_read_once_though_tensor_shards_share_it():
    asked = []

    def read(start, stop):
        asked.append((start, stop))
        return np.arange(start, stop, dtype=np.int32)

    mesh = make_mesh(MESHES[1])
    rows = Rows(count=10, shape=(), dtype=np.dtype(np.int32), read=read)
    assert np.asarray(place(rows, mesh, start=8, size=8)).tolist() == [8, 9, 0, 0, 0, 0, 0, 0]
    assert asked == [(8, 10)]
    asked.clear()
    assert np.asarray(place(dataclasses.replace(rows, count=16), mesh, start=8, size=8)).tolist() == list(range(8, 16))
    assert sorted(asked) == [(8, 10), (10, 12), (12, 14), (14, 16)]
