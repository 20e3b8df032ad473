"""Adaptive clipping of gradients: by the size of the parameters that they change."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from .per_layer import map_layers


def clip_adaptively(ratio: float, *, floor: float = 1e-3) -> optax.GradientTransformation:
    """Brock et al. (2021, "High-performance large-scale image recognition without normalization"), eq. 3, for each layer of a stack alone.

    The gradient of a unit (a column of a matrix f[in, out]; a whole vector) has at most `ratio` times the norm of its parameters, which
    counts as `floor` at least. Equal to `optax.adaptive_grad_clip` on one layer, which refuses arrays of an explicit mesh.
    """

    def norm(x: jax.Array) -> jax.Array:
        return jnp.sqrt(jnp.square(x).sum(0 if x.ndim > 1 else None, keepdims=True))

    def clip(gradient: jax.Array, param: jax.Array) -> jax.Array:
        most = ratio * jnp.maximum(norm(param), floor)
        return gradient * jnp.minimum(1.0, most / jnp.maximum(norm(gradient), 1e-6))

    return optax.stateless(lambda updates, params: map_layers(clip, updates, params))
