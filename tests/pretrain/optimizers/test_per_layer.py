"""A stack of layers trains as its layers alone do by optax's own transformations, which take a stack for one tensor."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from diptych.pretrain.optimizer import make_optimizer
from diptych.pretrain.optimizers.clipping import clip_adaptively
from diptych.pretrain.spec_optimizer import AdafactorSpec, MuonSpec, OptimizerSpec

RATE, DECAY = 0.01, 0.1
SPEC = OptimizerSpec(
    peak_lr=RATE,
    schedule="constant",
    warmup_steps=0,
    weight_decay=DECAY,
    betas=(0.9, 0.98),
    eps=1e-6,
    grad_clip=None,
    moment_dtype="float32",
)


def capped(step, exponent):
    return jnp.minimum(0.75, 1 - (step + 1.0) ** -exponent)


MATRIX = {"up": optax.contrib.MuonDimensionNumbers()}
END = (optax.add_decayed_weights(DECAY), optax.scale(-RATE))


def muon_by_hand(rms):
    return optax.chain(
        optax.trace(0.95, nesterov=True),
        optax.contrib.scale_by_muon(beta=0.0, nesterov=False, weight_dimension_numbers=MATRIX),  # Newton-Schulz alone
        optax.contrib._muon.scale_by_shape(MATRIX, consistent_rms=rms),
        *END,
    )


BY_HAND = {
    "adamw": optax.adamw(RATE, b1=0.9, b2=0.98, eps=1e-6, weight_decay=DECAY),
    "lion": optax.lion(RATE, b1=0.9, b2=0.98, weight_decay=DECAY),
    "lamb": optax.lamb(RATE, b1=0.9, b2=0.98, eps=1e-6, weight_decay=DECAY),
    "adafactor": optax.chain(
        optax.scale_by_factored_rms(decay_rate=0.8, min_dim_size_to_factor=32, decay_rate_fn=capped), optax.ema(0.9, debias=False), *END
    ),
    "muon": muon_by_hand(0.2),
}


def arrays(seed, shape):
    """Layers of very different size, so that a statistic of the whole stack is wrong for each."""
    return jax.random.normal(jax.random.key(seed), (2, *shape)) * jnp.array([1.0, 10.0]).reshape(2, *(1,) * len(shape))


def steps(optimizer, params, gradients):
    @jax.jit
    def step(params, state, gradient):
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for gradient in gradients:
        params, state = step(params, state, gradient)
    return params


@pytest.mark.parametrize("shape", [(64, 48), (16, 40)], ids=str)
@pytest.mark.parametrize("name", BY_HAND)
def test_a_stack_is_its_layers_alone(name, shape):
    check_layers(dataclasses.replace(SPEC, name=name, adafactor=AdafactorSpec(beta2_cap=0.75)), BY_HAND[name], shape=shape)


def test_muon_without_rms_has_jordans_norm():
    check_layers(dataclasses.replace(SPEC, name="muon", muon=MuonSpec(rms=None)), muon_by_hand(None), shape=(16, 40))


def check_layers(spec, by_hand, *, shape):
    w, gradients = arrays(0, shape), [arrays(seed, shape) for seed in range(1, 6)]
    stacked = {"model": {"text": {"blocks": {"layers": {"mlp": {"up": w}}}}}}
    ours = jax.tree.leaves(steps(make_optimizer(spec, steps=10), stacked, [jax.tree.map(lambda _, g=g: g, stacked) for g in gradients]))[0]
    for layer in range(2):
        alone = steps(by_hand, {"up": w[layer]}, [{"up": g[layer]} for g in gradients])["up"]
        np.testing.assert_allclose(ours[layer], alone, atol=1e-6 * float(jnp.abs(alone).max()))


@pytest.mark.parametrize("shape", [(64, 48), (16,), ()], ids=str)
def test_adaptive_clipping_takes_each_layers_norms(shape):
    w, g = arrays(0, shape), arrays(1, shape)
    stack = lambda x: {"blocks": {"layers": {"up": x}}}  # noqa: E731
    ours = clip_adaptively(0.05).update(stack(g), optax.EmptyState(), stack(w))[0]["blocks"]["layers"]["up"]
    assert not np.array_equal(ours, g)
    for layer in range(2):
        alone = optax.adaptive_grad_clip(0.05).update({"up": g[layer]}, optax.EmptyState(), {"up": w[layer]})[0]["up"]
        np.testing.assert_allclose(ours[layer], alone, rtol=1e-6)
