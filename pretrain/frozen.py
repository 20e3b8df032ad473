"""Which parameters are trained, and trees of them taken apart into these and the frozen ones."""

from __future__ import annotations

from typing import Any

import jax

from ..errors import UserError
from ..sharding.layouts import named_leaves, path_name
from .optimizers.names import check_pattern, matches

ALWAYS = (r"teacher\..*",)  # patterns of what no recipe trains


def is_frozen(name: str, freeze: tuple[str, ...]) -> bool:
    """Whether the parameter of this dotted name is a teacher's, or one of those that `optimizer.freeze` says."""
    return matches(name, (*freeze, *ALWAYS))


def trained(params: Any, freeze: tuple[str, ...]) -> Any:
    """A tree of bool: the parameters that no pattern of `optimizer.freeze` matches, by the whole of their dotted names, no teacher's.

    Raises UserError for a pattern that matches none, and where nothing is left to train.
    """
    names = list(named_leaves(params))
    for pattern in freeze:
        check_pattern(pattern, names, setting="optimizer.freeze")
    frozen = {name for name in names if is_frozen(name, freeze)}
    if len(frozen) == len(names):
        raise UserError(f"optimizer.freeze = {freeze} leaves nothing to train; accepted are patterns that leave a parameter")
    return jax.tree.map_with_path(lambda path, _: path_name(path) not in frozen, params)


def check_start(which: Any, *, given: frozenset[str]) -> None:
    """Raises UserError where a tower would stay as it was drawn. which: as `trained`. given: names of what starts from `train.init`."""
    for tower in ("image", "text"):
        names = {name: free for name, free in named_leaves(which).items() if name.startswith(f"model.{tower}.")}
        if names and not any(names.values()) and not given & names.keys():
            raise UserError(
                f"optimizer.freeze freezes model.{tower}, of which train.init.path gives nothing, so that it would stay as it was drawn; "
                "accepted is a folder that `diptych export` wrote, with train.init.parameters that name the tower"
            )


def kept(tree: Any, which: Any) -> Any:
    """The leaves of `tree` where `which`, a tree of bool, is true; None, which is no leaf, at the others."""
    return jax.tree.map(lambda keep, leaf: leaf if keep else None, which, tree)


def split(tree: Any, which: Any) -> tuple[Any, Any]:
    """`kept`, and the same of the others."""
    return kept(tree, which), kept(tree, jax.tree.map(lambda keep: not keep, which))


def join(tree: Any, others: Any) -> Any:
    """The tree that `split` took apart."""
    return jax.tree.map(lambda leaf, other: other if leaf is None else leaf, tree, others, is_leaf=lambda leaf: leaf is None)
