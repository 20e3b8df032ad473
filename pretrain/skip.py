"""Steps that are left out: their gradient has no finite norm."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax


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
