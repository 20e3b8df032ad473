import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from diptych.pretrain.learner import make_learner
from diptych.pretrain.optimizer import make_optimizer
from diptych.pretrain.optimizers.groups import decayed
from diptych.pretrain.spec import OptimizerSpec
from diptych.sharding.layouts import named_leaves
from diptych.sharding.mesh import abstract_mesh


def test_vectors_and_scales_are_not_decayed_though_layers_are_stacked(tiny_recipe):
    shapes = make_learner(tiny_recipe("coca"), abstract_mesh(replica=1, fsdp=1, tensor=1)).shapes
    for name, decay in named_leaves(decayed(shapes, OptimizerSpec().no_decay)).items():
        stacked = ".layers." in name
        assert decay == (len(named_leaves(shapes)[name].shape) - stacked >= 2), name


def test_adamw_is_optax_by_hand():
    spec = OptimizerSpec(peak_lr=0.1, schedule="constant", warmup_steps=0, weight_decay=0.3, betas=(0.8, 0.9), eps=1e-3, grad_clip=0.5)
    params = {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.ones(3)}
    gradients = jax.tree.map(lambda w: w + 1, params)
    by_hand = optax.chain(
        optax.clip_by_global_norm(0.5),
        optax.scale_by_adam(b1=0.8, b2=0.9, eps=1e-3),
        optax.add_decayed_weights(0.3, mask={"kernel": True, "bias": False}),
        optax.scale(-0.1),
    )
    ours, theirs = make_optimizer(spec, steps=10), by_hand
    state, other = ours.init(params), theirs.init(params)
    for _ in range(3):
        updates, state = ours.update(gradients, state, params)
        expected, other = theirs.update(gradients, other, params)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), updates, expected)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [("adamw", None, "float32"), ("adamw", "bfloat16", "bfloat16"), ("adafactor", None, "bfloat16"), ("muon", "bfloat16", "bfloat16")],
)
def test_the_first_moment_has_the_dtype_that_is_asked_for_and_the_second_float32(name, given, expected):
    params = {"text": {"layers": {"mlp": {"up": jnp.ones((2, 40, 32))}}, "bias": jnp.ones(3)}}
    optimizer = make_optimizer(OptimizerSpec(name=name, moment_dtype=given, peak_lr=0.1), steps=10)
    before = optimizer.init(params)
    updates, after = optimizer.update(jax.tree.map(jnp.ones_like, params), before, params)
    for state in (before, after):
        moments = {leaf: array.dtype for leaf, array in named_leaves(state).items() if "text" in leaf}
        first = {leaf for leaf in moments if re.search(r"\.(mu|ema|trace)\.", leaf)}
        assert first and all(moments[leaf] == (expected if leaf in first else "float32") for leaf in moments), moments
    assert all(update.dtype == jnp.float32 for update in jax.tree.leaves(updates))
