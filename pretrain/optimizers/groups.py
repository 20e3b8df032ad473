"""What a parameter's name says of its learning rate and its weight decay."""

from __future__ import annotations

import re
from typing import Any

import jax
import numpy as np
import optax

from ...sharding.layouts import named_leaves, path_name
from ..spec_optimizer import OptimizerSpec
from .names import check_pattern, matches
from .per_layer import is_stacked

# What a tower has below its layers.
BELOW = re.compile(r"(patch|patch_bias|class_token|cls_token|mask_tokens|image_projection|position|norm_first|embedding)(\..*)?")


def check_groups(spec: OptimizerSpec, params: Any) -> None:
    """Raises UserError for a pattern that matches none of the parameters."""
    names = named_leaves(params)
    for setting, table in (("lr_multipliers", spec.lr_multipliers), ("decay_multipliers", spec.decay_multipliers)):
        for pattern, _ in table:
            check_pattern(pattern, names, setting=f"optimizer.{setting}")
    for pattern in spec.no_decay:
        if pattern not in OptimizerSpec().no_decay:  # not every model has a class token
            check_pattern(pattern, {*names, *map(last_part, names)}, setting="optimizer.no_decay")
    if spec.name == "muon":
        for pattern in spec.muon.hidden:
            check_pattern(pattern, names, setting="optimizer.muon.hidden")


def decayed(params: Any, no_decay: tuple[str, ...]) -> Any:
    """A tree of bool: which parameters weight decay shrinks. By name, never by `ndim`: a stacked norm scale has two dimensions."""

    def decays(path: tuple[Any, ...], _: Any) -> bool:
        name = path_name(path)
        return not (matches(name, no_decay) or matches(last_part(name), no_decay))

    return jax.tree.map_with_path(decays, params)


def last_part(name: str) -> str:
    """`up_bias` of `model.image.blocks.layers.mlp.up_bias`."""
    return name.rpartition(".")[2]


def decay_factors(params: Any, spec: OptimizerSpec) -> Any:
    """A tree of float: the weight decay of each parameter."""

    def factor(path: tuple[Any, ...], decay: bool) -> float:
        return spec.weight_decay * first_match(path_name(path), spec.decay_multipliers) if decay else 0.0

    return jax.tree.map_with_path(factor, decayed(params, spec.no_decay))


def rate_factors(params: Any, spec: OptimizerSpec) -> Any:
    """A tree of what multiplies each parameter's learning rate: a float, or float32[L, 1, ...] where the layers of a stack differ."""
    depths = tower_depths(params)

    def factor(path: tuple[Any, ...], param: jax.Array) -> float | np.ndarray:
        name = path_name(path)
        base = first_match(name, spec.lr_multipliers)
        return base if spec.layer_decay is None else base * layer_factors(name, param.ndim, decay=spec.layer_decay, depths=depths)

    return jax.tree.map_with_path(factor, params)


def first_match(name: str, table: tuple[tuple[str, float], ...]) -> float:
    """The factor of the first pattern that matches the whole name; 1 where none does."""
    return next((factor for pattern, factor in table if re.fullmatch(pattern, name)), 1.0)


def tower_depths(params: Any) -> dict[str, int]:
    """Layers of each tower by its dotted name: `model.image` for `model.image.blocks.layers`."""
    stacks = {name.partition(".blocks.layers.")[0]: leaf for name, leaf in named_leaves(params).items() if is_stacked(name)}
    return {tower: leaf.shape[0] for tower, leaf in stacks.items()}


def layer_factors(name: str, ndim: int, *, decay: float, depths: dict[str, int]) -> float | np.ndarray:
    """Layer-wise decay (Clark et al., 2020, "ELECTRA", appendix; Bao et al., 2022, "BEiT", appendix): decay^(L - i) for layer i of 0..L-1.

    decay^(L + 1) for what a tower has below its layers, 1 for what is above them or in no tower.
    """
    tower = next((tower for tower in depths if name.startswith(f"{tower}.")), None)
    if tower is None:
        return 1.0
    depth = depths[tower]
    if is_stacked(name):
        return (decay ** np.arange(depth, 0, -1)).astype(np.float32).reshape(depth, *(1,) * (ndim - 1))
    return decay ** (depth + 1) if BELOW.fullmatch(name.removeprefix(f"{tower}.")) else 1.0


def add_decay(spec: OptimizerSpec) -> optax.GradientTransformation:
    """Adds to each update what weight decay takes off its parameter, per unit of learning rate (Loshchilov and Hutter, 2019)."""

    def update(updates: Any, params: Any) -> Any:
        return jax.tree.map(lambda u, w, decay: u + decay * w if decay else u, updates, params, decay_factors(params, spec))

    return optax.stateless(update)


def scale_rates(spec: OptimizerSpec) -> optax.GradientTransformation:
    """Multiplies each update by the factor of its parameter's learning rate."""

    return optax.stateless(lambda updates, params: jax.tree.map(lambda u, factor: u * factor, updates, rate_factors(params, spec)))
