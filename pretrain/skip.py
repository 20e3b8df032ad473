"""Steps that are left out: their gradient has no finite norm, or one far out of the ordinary."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ..errors import UserError
from .spec import SkipSpec


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Skips:
    """What is carried from step to step. total, in_a_row: i32[], steps left out, and those since the last that was not.

    seen: i32[], finite norms so far. mean, variance: f32[], of the latest `train.skip.window` of them, the older ones fading.
    """

    total: jax.Array
    in_a_row: jax.Array
    seen: jax.Array
    mean: jax.Array
    variance: jax.Array

    def metrics(self) -> dict[str, jax.Array]:
        """f32[] each."""
        return {"skipped": self.total.astype(jnp.float32), "skipped_in_a_row": self.in_a_row.astype(jnp.float32)}


def no_skips() -> Skips:
    """Before the first step."""
    count, value = jnp.int32(0), jnp.float32(0)
    return Skips(total=count, in_a_row=count, seen=count, mean=value, variance=value)


def judge(spec: SkipSpec, skips: Skips, norm: jax.Array) -> tuple[jax.Array, Skips]:
    """Whether a step whose gradient has this norm, f32[], is taken, bool[]; and the counts after it.

    Left out is what is not finite, and from `window` finite norms on what is more than `outlier` standard deviations above their mean. A
    norm weighs 1 / min(n, window) when it is the n-th, an outlier as if it were at the limit: so a lasting change of level is followed
    after a few steps, while one outlier moves the limit little.
    """
    finite = jnp.isfinite(norm)
    above = jnp.inf if spec.outlier is None else spec.outlier * jnp.sqrt(skips.variance)
    limit = jnp.where(skips.seen >= spec.window, skips.mean + above, jnp.inf)
    taken = finite & (norm <= limit)
    weight = 1 / jnp.minimum(skips.seen + 1, spec.window).astype(jnp.float32)
    change = jnp.where(finite, jnp.minimum(norm, limit) - skips.mean, 0.0)
    return taken, Skips(
        total=skips.total + ~taken,
        in_a_row=jnp.where(taken, 0, skips.in_a_row + 1),
        seen=skips.seen + finite,
        mean=skips.mean + weight * change,
        variance=jnp.where(finite, (1 - weight) * (skips.variance + weight * change**2), skips.variance),
    )


def where(taken: jax.Array, after: Any, before: Any) -> Any:
    """The tree `after` where the step is taken, else the tree `before`."""
    return jax.tree.map(lambda new, old: jnp.where(taken, new, old), after, before)


def check_skips(spec: SkipSpec, metrics: Mapping[str, jax.Array], *, step: int) -> None:
    """Raises UserError where `max_skips` steps in a row were left out, the last of them `step`, which measured `metrics`."""
    if int(metrics["skipped_in_a_row"]) >= spec.max_skips:
        raise UserError(
            f"train.skip.max_skips = {spec.max_skips} steps in a row were left out, the last of them step {step} with a gradient norm of "
            f"{float(metrics['grad_norm']):g}, and the run ended without saving; accepted is the same command again, which goes on from "
            "the last checkpoint, or a new run with a lower optimizer.peak_lr"
        )
