"""Decoders that draw, with the term that draws alike: loss and gradients of a training step on a mesh are those of one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diptych.pretrain.models.blocks import Compute
from diptych.pretrain.models.decoder import build_decoder
from diptych.pretrain.models.parameters import gathered_weight
from diptych.pretrain.objectives.objective import Objective
from diptych.pretrain.randomness import step_randomness
from diptych.pretrain.spec import DecoderSpec, ModelSpec, ObjectiveSpec, TextTowerSpec
from diptych.pretrain.spec_objective import CaptioningSpec
from diptych.sharding.axes import mesh_axes
from diptych.sharding.layouts import batch_layout, layouts_of, named_leaves, on_mesh, path_name, places
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec

P = jax.P
B, T, N, D, V, EOS = 16, 6, 3, 16, 48, 47
TEXT = TextTowerSpec(width=D, heads=2, vocab_size=V, context_length=T, eos_id=EOS)
FAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
CHUNK = 10  # divides neither the vocabulary nor its shards


def inputs():
    rng = np.random.default_rng(0)
    text = rng.integers(1, EOS, (B, T)).astype(np.int32)
    text[np.arange(B), rng.integers(2, T, B)] = EOS
    read = [rng.standard_normal(shape, np.float32) for shape in ((B, T, D), (B, N, D))]
    return read, {"text": text, "slot": np.arange(B, dtype=np.int32)}


def some(path, array):
    noise = 0.5 * np.random.default_rng(array.size).standard_normal(array.shape, np.float32)
    return noise + 1 if path_name(path).endswith(".scale") else noise


def computed(spec, sizes):
    """The loss, and gradients by name: of the decoder's parameters, of the text tokens (0) and of the image tokens (1)."""
    mesh = make_mesh(MeshSpec(replica=sizes[0], fsdp=sizes[1], tensor=sizes[2]))
    axes, rows = mesh_axes(mesh), batch_layout(mesh)
    model = ModelSpec(text=TEXT, decoder=spec, embed_dim=D)
    term = Objective(
        ObjectiveSpec(terms={"captioning": 1.0}, captioning=CaptioningSpec(vocab_chunk=CHUNK)), model=model, rngs=nnx.Rngs(0)
    ).terms["captioning"]
    build = lambda: build_decoder(spec, text=TEXT, context_width=D, compute=Compute(), rngs=nnx.Rngs(0))  # noqa: E731
    graph, state = nnx.split(nnx.eval_shape(build))
    layouts = on_mesh(layouts_of(state), mesh)

    def local(params, read, batch):
        decoder, random = nnx.merge(graph, axes.vary(params)), step_randomness(0, jnp.int32(4), batch["slot"])
        hidden = decoder(*read, caption=batch["text"], axes=axes, random=random)
        table = gathered_weight(decoder.unembedding, axes=axes, dtype=hidden.dtype)
        return term({"hidden": hidden, "unembedding": table}, batch, axes=axes, random=random).loss

    loss = jax.shard_map(local, mesh=mesh, in_specs=(layouts, rows, rows), out_specs=P())
    with jax.set_mesh(mesh):
        params = jax.device_put(jax.tree.map_with_path(some, nnx.as_pure(state)), places(layouts, mesh))
        given = params, *jax.device_put(inputs(), jax.NamedSharding(mesh, rows))
        compiled = jax.jit(jax.value_and_grad(loss, argnums=(0, 1))).lower(*given).compile(compiler_options=FAST)
        value, (of_params, of_read) = jax.device_get(compiled(*given))
    return value, named_leaves(of_params) | named_leaves(of_read)


@pytest.mark.parametrize("spec", [{"parallel": 0.5}, {"attention": "prefix"}], ids=str)
def test_a_step_on_a_mesh_is_that_of_one_device(spec):
    spec = DecoderSpec(depth=1, heads=2, **spec)
    value, gradients = computed(spec, (2, 2, 2))
    expected, definition = computed(spec, (1, 1, 1))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert all(np.any(gradient) for gradient in definition.values())
    largest = max(np.abs(gradient).max() for gradient in definition.values())
    for name, gradient in definition.items():
        scale = largest if name.endswith("key_bias") else np.abs(gradient).max()  # attention does not depend on a bias of its keys
        np.testing.assert_allclose(gradients[name], gradient, atol=1e-5 * scale, rtol=0, err_msg=name)
