"""Learning-rate schedules: step -> learning rate, each after a linear warm-up."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from .spec import OptimizerSpec


def learning_rate(spec: OptimizerSpec, *, steps: int) -> optax.Schedule:
    """The schedule of a recipe; `steps` is `train.steps`, the end of the decay where `optimizer.decay_steps` is absent.

    With w = warmup_steps, d = decay_steps and s the step from 0: the smaller of (s + 1) / w and

        cosine    (1 + cos(pi (s - w) / (d - w))) / 2      (Loshchilov and Hutter, 2017, eq. 5, one cycle)
        linear    1 - (s - w) / (d - w)
        rsqrt     sqrt(w / s)                              (Vaswani et al., 2017, section 5.3)
        constant  1

    times peak_lr.
    """
    warmup, end = spec.warmup_steps, spec.decay_steps or steps

    def rate(step: jax.Array) -> jax.Array:
        progress = jnp.clip((step - warmup) / max(end - warmup, 1), 0.0, 1.0)
        shape = {
            "cosine": lambda: 0.5 * (1 + jnp.cos(jnp.pi * progress)),
            "linear": lambda: 1 - progress,
            "rsqrt": lambda: jax.lax.rsqrt(jnp.maximum(step / max(warmup, 1), 1.0)),
            "constant": lambda: jnp.ones(()),
        }[spec.schedule]()
        return spec.peak_lr * jnp.minimum((step + 1) / max(warmup, 1), shape)

    return rate
