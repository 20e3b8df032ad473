"""Learning rates and decay by name, against optax by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from diptych.errors import UserError
from diptych.pretrain.optimizer import make_optimizer
from diptych.pretrain.optimizers.groups import decayed, rate_factors
from diptych.pretrain.spec_optimizer import OptimizerSpec
from diptych.schema import build
from diptych.sharding.layouts import named_leaves

SPEC = OptimizerSpec(peak_lr=0.1, schedule="constant", warmup_steps=0, weight_decay=0.3, betas=(0.8, 0.9), eps=1e-3, grad_clip=0.5)


def tower(seed, depth):
    keys = jax.random.split(jax.random.key(seed), 6)
    return {
        "patch": jax.random.normal(keys[0], (4, 3)),
        "norm_first": {"scale": jax.random.normal(keys[1], (3,))},
        "blocks": {"layers": {"mlp": {"up": jax.random.normal(keys[2], (depth, 3, 5)), "up_bias": jax.random.normal(keys[3], (depth, 5))}}},
        "norm": {"bias": jax.random.normal(keys[4], (3,))},
        "projection": jax.random.normal(keys[5], (3, 2)),
    }


PARAMS = {"model": {"image": tower(0, 3), "text": tower(1, 2)}, "objective": {"logit_scale": jnp.float32(2.0)}}


def steps(optimizer, params, count=3):
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    for _ in range(count):
        updates, state = update(jax.tree.map(lambda w: w + 1, params), state, params)
        params = optax.apply_updates(params, updates)
    return params


def test_layer_decay_is_one_rate_for_each_layer():
    spec = dataclasses.replace(SPEC, layer_decay=0.5)
    factors = named_leaves(rate_factors(PARAMS, spec))
    image = [factors[f"model.image.{name}"] for name in ("patch", "norm_first.scale", "norm.bias", "projection")]
    assert (image, factors["objective.logit_scale"]) == ([0.0625, 0.0625, 1.0, 1.0], 1.0)
    assert factors["model.image.blocks.layers.mlp.up"].tolist() == [[[0.125]], [[0.25]], [[0.5]]]
    assert factors["model.text.blocks.layers.mlp.up_bias"].tolist() == [[0.25], [0.5]]
    assert factors["model.text.patch"] == 0.125


def test_groups_are_optax_by_hand():
    spec = dataclasses.replace(
        SPEC,
        layer_decay=0.5,
        lr_multipliers=((r"model\.image\.norm\..*", 3.0), (r"model\.image\..*", 2.0)),
        decay_multipliers=((r".*\.projection", 0.1),),
    )

    def by_hand(rate, decay):
        return optax.chain(optax.scale_by_adam(b1=0.8, b2=0.9, eps=1e-3), optax.add_decayed_weights(decay), optax.scale(-rate))

    up = ("image", "blocks", "layers", "mlp", "up")
    groups = {  # path, rate, decay of some parameters; of the stack one of each layer
        ("image", "patch"): by_hand(0.1 * 2 * 0.0625, 0.3),
        ("image", "norm", "bias"): by_hand(0.1 * 3, 0),
        ("image", "projection"): by_hand(0.1 * 2, 0.03),
        ("text", "projection"): by_hand(0.1, 0.03),
        **{(*up, layer): by_hand(0.1 * 2 * 0.5 ** (3 - layer), 0.3) for layer in range(3)},
    }
    gradients = jax.tree.map(lambda w: w + 1, PARAMS)
    clip = 0.5 / optax.tree.norm(gradients)
    assert clip < 1
    ours = make_optimizer(spec, steps=10)
    updates = jax.jit(ours.update)(gradients, ours.init(PARAMS), PARAMS)[0]
    for path, optimizer in groups.items():
        at = lambda tree, path=path: [tree := tree[key] for key in path][-1]  # noqa: E731
        param, gradient = at(PARAMS["model"]), clip * at(gradients["model"])
        expected = optimizer.update(gradient, optimizer.init(param), param)[0]
        np.testing.assert_allclose(at(updates["model"]), expected, rtol=1e-5, err_msg=str(path))


def test_lamb_scales_what_is_decayed_to_its_norm_and_leaves_the_rest_to_adam():
    spec = dataclasses.replace(SPEC, name="lamb", grad_clip=None)
    params = {"text": {"projection": PARAMS["model"]["text"]["projection"], "bias": jnp.arange(3.0)}}
    adam = optax.chain(
        optax.scale_by_adam(b1=0.8, b2=0.9, eps=1e-3), optax.add_decayed_weights(0.3, {"text": {"projection": True, "bias": False}})
    )
    by_hand = optax.chain(
        adam, optax.masked(optax.scale_by_trust_ratio(), {"text": {"projection": True, "bias": False}}), optax.scale(-0.1)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), steps(make_optimizer(spec, steps=10), params), steps(by_hand, params)
    )


def test_what_is_frozen_stays_and_has_no_state():
    spec = dataclasses.replace(SPEC, freeze=(r"model\.image\..*",))
    after = steps(make_optimizer(spec, steps=10), PARAMS)
    alone = {**PARAMS, "model": {"text": PARAMS["model"]["text"]}}
    expected = steps(make_optimizer(SPEC, steps=10), alone)
    jax.tree.map(np.testing.assert_array_equal, after["model"]["image"], PARAMS["model"]["image"])
    jax.tree.map(np.testing.assert_array_equal, after["model"]["text"], expected["model"]["text"])
    assert not any("model.image" in name for name in named_leaves(make_optimizer(spec, steps=10).init(PARAMS)))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"lr_multipliers": ((r"image\..*", 0.1),)},
            r"optimizer.lr_multipliers has 'image\\..*', which matches no parameter; accepted are patterns of names such as model.image.",
        ),
        (
            {"decay_multipliers": ((r"model\.txt\.patch", 0.1),)},
            r"optimizer.decay_multipliers has 'model\\.txt\\.patch', which matches no parameter",
        ),
        ({"name": "muon", "muon": {"hidden": ("mlp",)}}, "optimizer.muon.hidden has 'mlp', which matches no parameter"),
    ],
)
def test_a_pattern_that_matches_nothing(settings, sentence):
    with pytest.raises(UserError) as answer:
        make_optimizer(build(OptimizerSpec, settings), steps=10).init(PARAMS)
    assert str(answer.value).startswith(sentence)


def test_no_decay_matches_the_last_part_or_the_whole_of_a_name():
    def exempt(*patterns):
        return {name for name, decays in named_leaves(decayed(PARAMS, patterns)).items() if not decays}

    assert exempt("projection") == exempt(r".*\.projection") == {"model.image.projection", "model.text.projection"}
    assert exempt(r"model\.text\.patch") == {"model.text.patch"} and exempt("patch|model") == {"model.image.patch", "model.text.patch"}


def test_a_no_decay_that_matches_nothing_is_refused_unless_it_is_a_default():
    make_optimizer(dataclasses.replace(SPEC, no_decay=(*SPEC.no_decay, "projection")), steps=9).init(PARAMS)
    with pytest.raises(UserError, match=r"optimizer.no_decay has 'projektion', which matches no parameter; accepted are .*projection"):
        make_optimizer(dataclasses.replace(SPEC, no_decay=("projektion",)), steps=9).init(PARAMS)
