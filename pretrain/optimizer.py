"""The optimizer of a recipe, from optax."""

from __future__ import annotations

import re
from typing import Any

import jax
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
    return optax.chain(optax.clip_by_global_norm(spec.grad_clip), adamw)
