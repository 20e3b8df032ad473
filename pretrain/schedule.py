"""Learning-rate schedules: step -> learning rate, each after a linear warm-up."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from .spec import OptimizerSpec


def learning_rate(spec: OptimizerSpec, *, steps: int) -> optax.Schedule:
    """The schedule of a recipe; `steps` is `train.steps`, the end of the schedule where `optimizer.decay_steps` is absent.

    With w = warmup_steps, e = the end, c = cooldown_steps, t = timescale_steps (absent: w), f = final_fraction and s the step from 0, the
    smaller of (s + 1) / w and

        cosine    f + (1 - f) (1 + cos(pi (s - w) / (e - w))) / 2   (Loshchilov and Hutter, 2017, eq. 5, one cycle)
        linear    f + (1 - f) (1 - (s - w) / (e - w))
        rsqrt     g + (q - g) r, q = 1 / sqrt(1 + (s - w) / t)      (Vaswani et al., 2017, section 5.3; Zhai et al., 2022, section 3.5)
        constant  f + (1 - f) r

    times peak_lr, where r = 1 until e - c and then falls linearly to 0 at e: the cool-down (Zhai et al., 2022, section 3.5). Without one,
    r = 1. g is the smaller of f and q, so that a cool-down never raises the rate.
    """
    warmup, end, final = spec.warmup_steps, spec.decay_steps or steps, spec.final_fraction
    timescale = warmup if spec.timescale_steps is None else spec.timescale_steps

    def rate(step: jax.Array) -> jax.Array:
        progress = jnp.clip((step - warmup) / max(end - warmup, 1), 0.0, 1.0)
        shape = {
            "cosine": lambda: 0.5 * (1 + jnp.cos(jnp.pi * progress)),
            "linear": lambda: 1 - progress,
            "rsqrt": lambda: jax.lax.rsqrt(1 + jnp.maximum(step - warmup, 0) / max(timescale, 1)),
            "constant": lambda: jnp.ones(()),
        }[spec.schedule]()
        left = jnp.clip((end - step) / spec.cooldown_steps, 0.0, 1.0) if spec.cooldown_steps else 1.0
        floor = jnp.minimum(final, shape)
        cooled = floor + (shape - floor) * left if spec.schedule in ("rsqrt", "constant") else final + (1 - final) * shape
        return spec.peak_lr * jnp.minimum((step + 1) / max(warmup, 1), cooled)

    return rate
