"""The objective: the weighted sum of the terms that a recipe names."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from ..spec import ObjectiveSpec
from . import captioning, sigmoid, softmax  # noqa: F401  each registers its term
from .term import TERMS, TermOutput


class Objective(nnx.Module):
    """Terms by name, each with its own parameters."""

    def __init__(self, spec: ObjectiveSpec, *, eos_id: int, rngs: nnx.Rngs):
        self.weights = tuple((name, weight) for name, weight in sorted(spec.terms.items()) if weight)
        self.terms = nnx.Dict({name: TERMS[name](spec, eos_id=eos_id, rngs=rngs) for name, _ in self.weights})

    def __call__(self, outputs: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], *, axes: Axes) -> TermOutput:
        """The total loss; metrics hold each term's loss as `loss/NAME` where there are several, and what the terms measure."""
        total, metrics = jnp.float32(0), dict[str, jax.Array]()
        for name, weight in self.weights:
            term = self.terms[name]
            with jax.named_scope(f"objective_{name}"):
                output = term({need: outputs[need] for need in term.needs}, batch, axes=axes)
            total = total + weight * output.loss
            metrics |= dict(output.metrics)
            if len(self.weights) > 1:
                metrics[f"loss/{name}"] = output.loss
        return TermOutput(loss=total, metrics=metrics)
