"""What a term of the objective is, and the register of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar, TypeVar

import jax
from flax import nnx

from ...sharding.axes import Axes
from ..spec import ObjectiveSpec


@dataclasses.dataclass(frozen=True)
class TermOutput:
    """loss: f32[], the mean over the global batch, the same on every device. metrics: f32[] each, likewise."""

    loss: jax.Array
    metrics: Mapping[str, jax.Array]


class Term(nnx.Module):
    """One term: owns its parameters, declares what it `needs`, and is per-device code that names its collectives.

    needs: named outputs of the model. A parameter's `bounds` are noted on it where it is born.
    """

    needs: ClassVar[tuple[str, ...]]

    def __init__(self, spec: ObjectiveSpec, *, eos_id: int, rngs: nnx.Rngs):
        raise NotImplementedError

    def __call__(self, needed: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], *, axes: Axes) -> TermOutput:
        """needed: the outputs named in `needs`, this device's rows. batch: this device's rows of the batch."""
        raise NotImplementedError


TermType = TypeVar("TermType", bound=type[Term])
TERMS: dict[str, type[Term]] = {}


def register(name: str) -> Callable[[TermType], TermType]:
    """Makes a term known to recipes as `objective.terms.NAME`."""

    def add(term: TermType) -> TermType:
        TERMS[name] = term
        return term

    return add
