"""What a term of the objective is, and the register of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar, TypeVar

import jax
from flax import nnx

from ...sharding.axes import Axes
from ..randomness import Randomness
from ..spec import ModelSpec, ObjectiveSpec


@dataclasses.dataclass(frozen=True)
class TermOutput:
    """loss: f32[], the mean over the global batch, the same on every device. metrics: f32[] each, likewise."""

    loss: jax.Array
    metrics: Mapping[str, jax.Array]


class Term(nnx.Module):
    """One term: owns its parameters, declares what it `needs`, and is per-device code that names its collectives.

    needs: named outputs of the model. pairwise: whether it compares samples, and so needs the whole batch at once; else its loss is a
    mean over samples (or what `weight` counts), and may be taken by microbatch. A parameter's `bounds` are noted on it where it is born.
    """

    needs: ClassVar[tuple[str, ...]]
    pairwise: ClassVar[bool] = True

    def __init__(self, spec: ObjectiveSpec, *, model: ModelSpec, rngs: nnx.Rngs):
        raise NotImplementedError

    def __call__(
        self, needed: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None
    ) -> TermOutput:
        """needed: the outputs named in `needs`, this device's rows. batch: this device's rows of the batch.

        random: the draws of this training step; None: an evaluation, where nothing is left to chance.
        """
        raise NotImplementedError


TermType = TypeVar("TermType", bound=type[Term])
TERMS: dict[str, type[Term]] = {}


def register(name: str) -> Callable[[TermType], TermType]:
    """Makes a term known to recipes as `objective.terms.NAME`."""

    def add(term: TermType) -> TermType:
        TERMS[name] = term
        return term

    return add
