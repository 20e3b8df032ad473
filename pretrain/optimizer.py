"""The optimizer of a recipe: a chain of optax transformations that runs outside the shard_map, on sharded arrays."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..sharding.layouts import path_name
from .frozen import is_frozen, join, kept
from .optimizers.adafactor import adafactor
from .optimizers.clipping import clip_adaptively
from .optimizers.groups import add_decay, check_groups, decayed, scale_rates
from .optimizers.muon import muon
from .optimizers.names import matches
from .optimizers.per_layer import each_layer, layer_shape
from .schedule import learning_rate
from .spec import OptimizerSpec


def make_optimizer(spec: OptimizerSpec, *, steps: int) -> optax.GradientTransformation:
    """Clip, direction, decoupled weight decay (Loshchilov and Hutter, 2019), learning rate, and its factors by name.

    steps: `train.steps`. Raises UserError in `init` for a pattern that matches no parameter.
    """
    clips = optax.chain(
        optax.identity() if spec.adaptive_clip is None else clip_adaptively(spec.adaptive_clip),
        optax.identity() if spec.grad_clip is None else optax.clip_by_global_norm(spec.grad_clip),
    )
    trust = optax.masked(each_layer(optax.scale_by_trust_ratio()), lambda params: decayed(params, spec.no_decay))
    decay = optax.chain(add_decay(spec), trust) if spec.name == "lamb" else add_decay(spec)
    rate = optax.scale_by_learning_rate(learning_rate(spec, steps=steps))
    return checked(of_trained(optax.chain(clips, optax.chain(direction(spec), decay, rate, scale_rates(spec))), spec.freeze), spec)


def direction(spec: OptimizerSpec) -> optax.GradientTransformation:
    """From gradients to updates at learning rate 1, before weight decay."""
    b1, b2 = spec.betas
    dtype = spec.moment_dtype or ("bfloat16" if spec.name == "adafactor" else "float32")
    adam = optax.scale_by_adam(b1, b2, eps=spec.eps, mu_dtype=jnp.dtype(dtype))  # Kingma and Ba (2015)
    match spec.name:
        case "adamw" | "lamb":  # LAMB is Adam whose updates get the norm of their parameters: You et al. (2020), algorithm 2
            return adam
        case "adafactor":
            return adafactor(spec.adafactor, dtype=dtype)
        case "lion":  # Chen et al. (2023, "Symbolic discovery of optimization algorithms"), program 1
            return optax.scale_by_lion(b1, b2, mu_dtype=jnp.dtype(dtype))
        case _:
            return optax.partition({"muon": muon(spec.muon, dtype=dtype), "adamw": adam}, lambda params: labels(params, spec.muon.hidden))


def labels(params: Any, hidden: tuple[str, ...]) -> Any:
    """A tree of `muon` for hidden matrices and `adamw` for everything else."""

    def label(path: tuple[Any, ...], param: jax.Array) -> str:
        name = path_name(path)
        return "muon" if matches(name, hidden) and len(layer_shape(name, param.shape)) == 2 else "adamw"

    return jax.tree.map_with_path(label, params)


def of_trained(optimizer: optax.GradientTransformation, freeze: tuple[str, ...]) -> optax.GradientTransformation:
    """`optimizer` of what is trained: nothing frozen has a state, weighs in the gradient's norm, or moves."""

    def trained(tree: Any) -> Any:
        return kept(tree, jax.tree.map_with_path(lambda path, _: not is_frozen(path_name(path), freeze), tree))

    def update(gradients: Any, state: Any, params: Any) -> tuple[Any, Any]:
        updates, state = optimizer.update(trained(gradients), state, trained(params))
        return join(updates, jax.tree.map(jnp.zeros_like, gradients)), state

    return optax.GradientTransformation(lambda params: optimizer.init(trained(params)), update)


def checked(optimizer: optax.GradientTransformation, spec: OptimizerSpec) -> optax.GradientTransformation:
    """`optimizer`, whose `init` sees that every pattern names a parameter."""

    def init(params: Any) -> Any:
        check_groups(spec, params)
        return optimizer.init(params)

    return optax.GradientTransformation(init, optimizer.update)
