"""The objective: the weighted sum of the terms that a recipe names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from ..randomness import Randomness
from ..spec import ModelSpec, ObjectiveSpec
from . import (  # noqa: F401  each registers its term
    captioning,
    cyclip,
    distillation_embedding,
    distillation_logits,
    distillation_similarity,
    m2mix,
    mochi,
    self_supervised,
    sigmoid,
    softmax,
    unicl,
)
from .forms import PairForm
from .term import TERMS, TermOutput


class Objective(nnx.Module):
    """Terms by name, each with its own parameters."""

    def __init__(self, spec: ObjectiveSpec, *, model: ModelSpec, rngs: nnx.Rngs):
        self.weights = tuple((name, weight) for name, weight in sorted(spec.terms.items()) if weight)
        self.terms = nnx.Dict({name: TERMS[name](spec, model=model, rngs=rngs) for name, _ in self.weights})

    @property
    def needs(self) -> frozenset[str]:
        """The named outputs of the model that the terms read."""
        return self.needs_of(name for name, _ in self.weights)

    def needs_of(self, names: Iterable[str]) -> frozenset[str]:
        """Those that the named terms read."""
        return frozenset(need for name in names for need in self.terms[name].needs)

    def names(self, *, pairwise: bool) -> tuple[str, ...]:
        """The terms that compare samples, or those that do not."""
        return tuple(name for name, _ in self.weights if self.terms[name].pairwise == pairwise)

    def forms(self, rows: int, *, devices: int) -> dict[str, PairForm]:
        """How each term that visits pairs does so, with `rows` samples on each of `devices` that share the batch."""
        found = {name: self.terms[name].form(rows, devices=devices) for name, _ in self.weights}
        return {name: form for name, form in found.items() if form is not None}

    def __call__(
        self, outputs: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None = None
    ) -> TermOutput:
        """The total loss; metrics hold what the terms measure, and each term's loss as `loss/NAME` where there are several."""
        return self.total(self.found((name for name, _ in self.weights), outputs, batch, axes=axes, random=random))

    def found(
        self,
        names: Iterable[str],
        outputs: Mapping[str, jax.Array],
        batch: Mapping[str, jax.Array],
        *,
        axes: Axes,
        random: Randomness | None,
    ) -> dict[str, TermOutput]:
        """What each of the named terms makes of the outputs."""
        found = dict[str, TermOutput]()
        for name in names:
            term = self.terms[name]
            with jax.named_scope(f"objective_{name}"):
                found[name] = term({need: outputs[need] for need in term.needs}, batch, axes=axes, random=random)
        return found

    def total(self, found: Mapping[str, TermOutput]) -> TermOutput:
        """The whole objective from all of its terms."""
        metrics = by_name({name: found[name].metrics for name, _ in self.weights})
        if len(found) > 1:
            metrics |= {f"loss/{name}": found[name].loss for name, _ in self.weights}
        return TermOutput(loss=self.weighted(found), metrics=metrics)

    def weighted(self, found: Mapping[str, TermOutput]) -> jax.Array:
        """f32[]: the sum of the found losses, each times its weight; 0 where there is none."""
        return sum((weight * found[name].loss for name, weight in self.weights if name in found), jnp.float32(0))


def by_name(values: Mapping[str, Mapping[str, jax.Array]]) -> dict[str, jax.Array]:
    """Values of each term -> name -> value; `NAME/TERM` where several terms have one of that name."""
    terms = Counter(name for named in values.values() for name in named)
    return {name if terms[name] == 1 else f"{name}/{term}": value for term, named in values.items() for name, value in named.items()}
