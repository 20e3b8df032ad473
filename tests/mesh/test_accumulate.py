"""Gradients by microbatch are those of the whole batch, on every mesh, and cost less memory and no more sums between replicas."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from diptych.pretrain.accumulate import loss_and_gradients
from diptych.pretrain.checkpoint import targets
from diptych.pretrain.learner import make_learner
from diptych.pretrain.spec_objective import MatryoshkaSpec, MochiSpec, SelfSupervisedSpec
from diptych.pretrain.step import batch_shapes
from diptych.sharding.layouts import batch_layout, named_leaves, path_name, places
from diptych.sharding.mesh import abstract_mesh, make_mesh
from diptych.sharding.spec import MeshSpec


def accumulating(recipe, parts):
    return dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, accumulate=parts))


SCALARS = {"logit_scale": 2.3, "logit_bias": -10.0, "scale": 1.0}


def some_params(learner):
    """Parameters without the compile of their own initialisation; large enough that no attention is even, and no gradient mere rounding."""
    rng = np.random.default_rng(0)

    def some(path, array):
        value = SCALARS.get(path_name(path).rsplit(".", 1)[-1])
        return 0.25 * rng.standard_normal(array.shape, np.float32) if value is None else np.full(array.shape, value, np.float32)

    return jax.device_put(jax.tree.map_with_path(some, learner.shapes), places(learner.layouts, learner.mesh))


def computed(recipe, sizes, batch):
    """The output, the gradients by name, which lie as their parameters do, and the bytes of temporaries on a device."""
    mesh = make_mesh(MeshSpec(replica=sizes[0], fsdp=sizes[1], tensor=sizes[2]))
    learner = make_learner(recipe, mesh)
    with jax.set_mesh(mesh):
        given = some_params(learner), jax.device_put(batch, jax.NamedSharding(mesh, batch_layout(mesh))), jnp.int32(3)
        lowered = jax.jit(lambda *given: loss_and_gradients(learner, *given)).lower(*given)
        program = lowered.compile(compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True})
        output, gradients = program(*given)
    gradients = named_leaves(gradients)
    for name, place in named_leaves(places(learner.layouts, mesh)).items():
        assert gradients[name].sharding.is_equivalent_to(place, gradients[name].ndim), name
    return output, gradients, program.memory_analysis().temp_size_in_bytes


def assert_same(ours, theirs):
    (output, gradients, _), (whole, expected, _) = ours, theirs
    np.testing.assert_allclose(output.loss, whole.loss, rtol=1e-5)
    assert output.metrics.keys() == whole.metrics.keys()
    for name, value in whole.metrics.items():
        np.testing.assert_allclose(output.metrics[name], value, rtol=1e-5, err_msg=name)
    assert gradients.keys() == expected.keys()
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    for name, gradient in expected.items():
        scale = largest if name.endswith("key_bias") else np.abs(gradient).max()  # attention does not depend on a bias of its keys
        np.testing.assert_allclose(gradients[name], gradient, atol=1e-5 * scale, rtol=0, err_msg=name)


def drawing(recipe):
    """A captioner with all that is drawn in a step: patches, words, negatives, mixtures and views, around a ring and in nested widths."""
    model = recipe.model
    image = dataclasses.replace(model.image, depth=1, patch_dropout=0.5)
    decoder = dataclasses.replace(model.decoder, depth=1, parallel=0.5)
    objective = dataclasses.replace(
        recipe.objective,
        terms={"softmax": 1.0, "mochi": 1.0, "m2mix": 1.0, "cyclip": 1.0, "self_supervised": 1.0, "captioning": 2.0},
        mochi=MochiSpec(hardest=5, mixed=4, with_query=2),
        self_supervised=SelfSupervisedSpec(projector=(16, 8)),
        form="ring",
        chunk=3,
        matryoshka=MatryoshkaSpec(widths=(8,)),
    )
    model = dataclasses.replace(model, image=image, text=dataclasses.replace(model.text, depth=1), decoder=decoder)
    return dataclasses.replace(recipe, model=model, objective=objective)


def test_microbatches_on_a_mesh_give_the_gradients_of_the_whole_batch_on_a_device(tiny_recipe, random_batch):
    recipe, batch = drawing(tiny_recipe("coca")), random_batch(1)
    batch["image_views"] = np.random.default_rng(2).integers(0, 256, (16, 2, 32, 32, 3)).astype(np.uint8)
    ours, whole = computed(accumulating(recipe, 2), (2, 2, 2), batch), computed(recipe, (1, 1, 1), batch)
    assert_same(ours, whole)
    assert whole[0].metrics.keys() >= {"loss/mochi", "loss/m2mix", "loss/cyclip", "loss/self_supervised", "loss/captioning"}


def test_memory_falls_with_the_microbatch_and_gradients_stay(tiny_recipe, random_batch):
    recipe, batch = tiny_recipe("siglip"), random_batch(1)
    whole, ours = computed(recipe, (1, 1, 1), batch), computed(accumulating(recipe, 8), (1, 1, 1), batch)
    assert_same(ours, whole)
    assert ours[2] < whole[2] / 4, (ours[2], whole[2])  # 0.61 and 3.0 MiB


def sums_over_replica(jaxpr, *, looped=False):
    """(elements, whether inside of a loop) of each sum between replicas."""
    for equation in jaxpr.eqns:
        if equation.primitive.name.startswith("psum") and "replica" in equation.params["axes"]:
            yield from ((out.aval.size, looped) for out in equation.outvars)
        for inner in core.jaxprs_in_params(equation.params):
            yield from sums_over_replica(inner, looped=looped or equation.primitive.name == "scan")


def test_replicas_sum_the_gradient_once_a_step_and_only_of_the_shard(tiny_recipe):
    mesh, recipe = abstract_mesh(replica=2, fsdp=4, tensor=1), accumulating(tiny_recipe("coca"), 2)
    learner = make_learner(recipe, mesh)
    with jax.sharding.use_abstract_mesh(mesh):
        params = targets(learner.shapes, learner.layouts, mesh)
        given = (params, batch_shapes(recipe, mesh), jax.ShapeDtypeStruct((), jnp.int32))
        traced = jax.make_jaxpr(lambda *given: loss_and_gradients(learner, *given))(*given)
    sums = list(sums_over_replica(traced.jaxpr))
    assert all(size == 1 for size, looped in sums if looped), "a gradient is summed in the loop"
    shards = sorted(place.shard_shape(array.shape) for array, place in zip(*map(jax.tree.leaves, (params, places(learner.layouts, mesh)))))
    assert sorted(size for size, looped in sums if size > 1) == sorted(int(np.prod(shape)) for shape in shards if np.prod(shape) > 1)
