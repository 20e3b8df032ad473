"""The optimizer of a recipe, from optax."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..sharding.layouts import path_name
from .schedule import learning_rate
from .spec import OptimizerSpec


def decayed(params: Any, no_decay: tuple[str, ...]) -> Any:
    """A tree of bool: which parameters weight decay shrinks. By name, never by `ndim`: a stacked norm scale has two dimensions."""
    exempt = re.compile("|".join(f"(?:{pattern})" for pattern in no_decay) or r"(?!)")
    return jax.tree.map_with_path(lambda path, _: exempt.fullmatch(path_name(path).rsplit(".", 1)[-1]) is None, params)


def make_optimizer(spec: OptimizerSpec, *, steps: int) -> optax.GradientTransformation:
    """AdamW (Loshchilov and Hutter, 2019) behind a clip of the gradient's global norm; runs outside the shard_map, on sharded arrays."""
    adamw = optax.adamw(
        learning_rate(spec, steps=steps),
        b1=spec.betas[0],
        b2=spec.betas[1],
        eps=spec.eps,
        weight_decay=spec.weight_decay,
        mask=lambda params: decayed(params, spec.no_decay),
    )
    return where_finite(optax.chain(optax.clip_by_global_norm(spec.grad_clip), adamw))


def where_finite(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """The same, but a gradient of no finite norm changes nothing, neither parameters nor moments nor the place in the schedule.

    One entry that overflows would else make every parameter nan by way of the clip, and the next checkpoint with it.
    """

    def update(gradients: optax.Updates, state: optax.OptState, params: optax.Params | None = None) -> tuple[Any, Any]:
        finite = jnp.isfinite(optax.tree.norm(gradients))
        updates, after = optimizer.update(gradients, state, params)
        kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, state)
        return jax.tree.map(lambda change: jnp.where(finite, change, 0), updates), kept

    return optax.GradientTransformation(optimizer.init, update)
