"""The cyclic consistency term of CyCLIP."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from ..randomness import Randomness
from ..spec import ModelSpec, ObjectiveSpec
from .term import Term, TermOutput, register


@register("cyclip")
class CyCLIP(Term):
    """Similarities that do not change when image and text change places (Goel et al., 2022, CyCLIP, section 2):

        L = c C + i I,   C = 1/B sum_jk (z_j . t_k - z_k . t_j)^2   cross-modal
                         I = 1/B sum_jk (z_j . z_k - t_j . t_k)^2   in-modal

             t1  t2  t3           z1  z2  z3           t1  t2  t3
        z1   .   a   b        z1  .   d   e        t1  .   d'  e'
        z2   a'  .   c        z2  d   .   f        t2  d'  .   f'      wanted: x = x' for each letter
        z3   b'  c'  .        z3  e   f   .        t3  e'  f'  .

    c and i: `objective.cyclip.cross_modal` and `in_modal`. It stands beside a contrastive term, and has no scale. It grows with the batch:
    B^2 pairs are divided by B.

    No pair is ever made. With S = z + t and D = z - t, f32[B, E], what is squared in I and C are the symmetric and the antisymmetric part
    of S D^T, so that matrices of E x E are enough:

        B C = (p - q) / 2,   B I = (p + q) / 2,   p = <S^T S, D^T D>,   q = sum_ef (D^T S)_ef (D^T S)_fe

    (The same from z and t themselves would be lost in rounding as texts become like their images; p and q shrink with D^2.) A device holds
    2 b E + 6 E^2 floats and computes 9 b E^2 products in value and gradient, however large the batch; it sends one sum of 3 E^2.
    """

    needs = ("image_embedding", "text_embedding")

    def __init__(self, spec: ObjectiveSpec, *, model: ModelSpec, rngs: nnx.Rngs):
        self.spec = spec.cyclip

    def __call__(
        self, needed: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None
    ) -> TermOutput:
        """See the class."""
        images, texts = needed["image_embedding"], needed["text_embedding"]
        sums, differences = images + texts, images - texts
        parts = [moments(sums, sums), moments(differences, differences), moments(differences, sums)]
        of_sums, of_differences, across = axes.sum(jnp.stack(parts))
        all_pairs, swapped = jnp.sum(of_sums * of_differences), jnp.sum(across * across.T)
        twice = 2 * len(images) * axes.count()
        cross_modal, in_modal = (all_pairs - swapped) / twice, (all_pairs + swapped) / twice
        loss = self.spec.cross_modal * cross_modal + self.spec.in_modal * in_modal
        return TermOutput(loss=loss, metrics={"cross_modal_inconsistency": cross_modal, "in_modal_inconsistency": in_modal})


def moments(a: jax.Array, b: jax.Array) -> jax.Array:
    """a^T b, f32[b, E], f32[b, E] -> f32[E, E], in full float32."""
    return jnp.einsum("be,bf->ef", a, b, precision=jax.lax.Precision.HIGHEST)
