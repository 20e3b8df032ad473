"""Who sees what in the caption decoders: no word before it is predicted; draws that depend on the sample and the step alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diptych.pretrain.models.blocks import Compute
from diptych.pretrain.models.caption_draws import parallel_samples, prefix_lengths
from diptych.pretrain.models.decoder import build_decoder
from diptych.pretrain.randomness import step_randomness
from diptych.pretrain.spec import DecoderSpec, TextTowerSpec
from diptych.sharding.axes import Axes

B, T, N, D, EOS = 6, 5, 3, 16, 9
TEXT = TextTowerSpec(width=D, heads=2, vocab_size=10, context_length=T, eos_id=EOS)
RANDOM = step_randomness(0, jnp.int32(7), jnp.arange(B))
CAPTION = jnp.full((B, T), 1).at[:, -1].set(EOS)


def given():
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(np.float32) for shape in ((B, T, D), (B, N, D))]


def build(spec):
    """A decoder's graph and some parameters, without the compiles of their own initialisation."""
    make = lambda: build_decoder(DecoderSpec(depth=1, heads=2, **spec), text=TEXT, context_width=D, compute=Compute(), rngs=nnx.Rngs(0))  # noqa: E731
    graph, state = nnx.split(nnx.eval_shape(make))
    rng = np.random.default_rng(1)
    return graph, jax.tree.map(lambda array: rng.normal(scale=0.5, size=array.shape).astype(np.float32), nnx.as_pure(state))


def seen(spec, random):
    """bool[B, T, T]: which text tokens change what is made at each place; bool[B, T]: where the image does. By changing each in turn."""
    (graph, params), (tokens, image) = build(spec), given()
    changed = np.stack([tokens, *(np.where(np.arange(T)[:, None] == place, -tokens, tokens) for place in range(T)), tokens])
    images = np.stack([image] * (T + 1) + [-image])

    @jax.jit
    @jax.vmap
    def decode(tokens, image):
        return nnx.merge(graph, params)(tokens, image, caption=CAPTION, axes=Axes(), random=random)

    before, *after = np.asarray(decode(changed, images))
    differ = np.stack([np.abs(hidden - before).max(-1) > 1e-5 for hidden in after], axis=-1)
    return differ[..., :-1], differ[..., -1]


CAUSAL = np.tril(np.ones((T, T), bool))


@pytest.mark.parametrize("spec", [{"parallel": 0.75}, {"attention": "prefix"}], ids=str)
def test_in_an_evaluation_every_decoder_is_causal_and_sees_the_image(spec):
    tokens, image = seen(spec, None)
    assert (tokens == CAUSAL).all() and image.all()


def test_parallel_samples_see_the_image_alone():
    tokens, image = seen({"parallel": 0.5}, RANDOM)
    parallel = np.asarray(parallel_samples(0.5, random=RANDOM))
    assert 0 < parallel.sum() < B and image.all()
    assert not tokens[parallel].any() and (tokens[~parallel] == CAUSAL).all()


def test_places_of_a_parallel_sample_look_at_each_other():
    graph, params = build({"parallel": 1.0})

    @jax.jit
    def first(sign):
        mask_tokens = jnp.asarray(params["mask_tokens"]).at[-1].multiply(sign)
        changed = nnx.merge(graph, params | {"mask_tokens": mask_tokens})
        return changed(*given(), caption=CAPTION, axes=Axes(), random=RANDOM)[:, 0]

    assert (jnp.abs(first(-1.0) - first(1.0)).max(-1) > 1e-5).all()


def test_a_prefix_sees_itself_and_nothing_sees_a_later_word():
    tokens, image = seen({"attention": "prefix"}, RANDOM)
    prefixes = np.asarray(prefix_lengths(jnp.full(B, T - 1), random=RANDOM))
    assert len(set(prefixes.tolist())) > 1 and image.all()
    for sees, prefix in zip(tokens, prefixes, strict=True):
        expected = CAUSAL.copy()
        expected[:prefix, :prefix] = True
        assert (sees == expected).all()


def test_draws_are_of_the_sample_and_the_step():
    slots = jnp.arange(4000)
    random = step_randomness(0, jnp.int32(1), slots)
    parallel = parallel_samples(0.75, random=random)
    assert 0.72 < float(parallel.mean()) < 0.78
    ends = slots % 5
    lengths = prefix_lengths(ends, random=random)
    for end in range(5):
        found, counts = np.unique(lengths[ends == end], return_counts=True)
        assert found.tolist() == list(range(1, max(end, 1) + 1)) and counts.min() > 0.75 * counts.mean()
    turned = dataclasses.replace(random, slots=slots[::-1])
    assert (parallel_samples(0.75, random=turned) == parallel[::-1]).all()
    assert (prefix_lengths(ends[::-1], random=turned) == lengths[::-1]).all()
    assert (parallel_samples(0.75, random=step_randomness(0, jnp.int32(2), slots)) != parallel).any()
