"""What a term of the objective is, and the register of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from ..randomness import Randomness
from ..spec import ModelSpec, ObjectiveSpec
from .forms import PairForm


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TermOutput:
    """loss: f32[], the mean over the global batch, the same on every device. metrics: f32[] each, likewise."""

    loss: jax.Array
    metrics: Mapping[str, jax.Array]


class Term(nnx.Module):
    """One term: owns its parameters, declares what it `needs`, and is per-device code that names its collectives.

    needs: named outputs of the model. pairwise: whether it compares samples, and so needs the whole batch at once, and of the model only
    outputs with a row a sample; else its loss is a mean over what `weight` counts, and may be taken by microbatch (its draws are then of
    rows, never of the step). perplexities: metrics that are exp of such a mean; the others are means themselves. A parameter's `bounds`
    are noted on it where it is born.
    """

    needs: ClassVar[tuple[str, ...]]
    pairwise: ClassVar[bool] = True
    perplexities: ClassVar[tuple[str, ...]] = ()

    def __init__(self, spec: ObjectiveSpec, *, model: ModelSpec, rngs: nnx.Rngs):
        raise NotImplementedError

    def __call__(
        self, needed: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None
    ) -> TermOutput:
        """needed: the outputs named in `needs`, this device's rows. batch: this device's rows of the batch.

        random: the draws of this training step; None: an evaluation, where nothing is left to chance.
        """
        raise NotImplementedError

    def form(self, rows: int, *, devices: int) -> PairForm | None:
        """How `rows` samples on each of `devices` that share the batch meet those of all; None, by default, where no pairs are visited."""
        return None

    def weight(self, batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None) -> jax.Array:
        """f32[], the same on every device: how much there is in `batch`, this device's rows of it, of what the loss is the mean over.

        random: the draws that the loss is given. Losses of parts of a batch, weighted by this, give the loss of the whole. By default: the
        rows of all devices.
        """
        return axes.sum(jnp.float32(len(batch["slot"])))

    def whole(self, parts: TermOutput, shares: jax.Array) -> TermOutput:
        """What the term makes of a batch, from what it makes of its parts, f32[k] each; shares f32[k]: of the `weight`, in sum 1."""

        def mean(name: str, values: jax.Array) -> jax.Array:
            return jnp.exp(jnp.sum(shares * jnp.log(values))) if name in self.perplexities else jnp.sum(shares * values)

        return TermOutput(loss=jnp.sum(shares * parts.loss), metrics={name: mean(name, values) for name, values in parts.metrics.items()})


TermType = TypeVar("TermType", bound=type[Term])
TERMS: dict[str, type[Term]] = {}


def register(name: str) -> Callable[[TermType], TermType]:
    """Makes a term known to recipes as `objective.terms.NAME`."""

    def add(term: TermType) -> TermType:
        TERMS[name] = term
        return term

    return add
