"""Contrastive learning against mixtures of images and their texts: geodesic multi-modal mixup, m2-Mix."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from ...sharding.axes import Axes
from ..randomness import Randomness
from .contrastive import Contrastive, mean_of_batch, places
from .forms_negatives import negative_odds
from .term import TermOutput, register

NEAR = 1e-4  # below this 1 - cos of an angle, sines of it are taken from their series


@register("m2mix")
class M2Mix(Contrastive):
    """The other samples' pairs, each mixed on the sphere, are the negatives of images and of texts (Oh et al., 2023, section 4):

        L = 1/2 [ C(z, t) + C(t, z) ]
        C(q, k) = -1/B sum_i log( exp(s q_i . k_i) / ( exp(s q_i . k_i) + sum_{j != i} exp(s q_i . m_j) ) )
        m_j = sin(a_j w_j) / sin(w_j) z_j + sin((1 - a_j) w_j) / sin(w_j) t_j,   w_j = arccos(z_j . t_j),   a_j ~ Beta(alpha, alpha)

                 t1 m2 m3                  z1 m2 m3
            z1    1  .  .             t1    1  .  .          positives as they are, negatives between the modalities:
                 m1 t2 m3                  m1 z2 m3          it closes the gap between them
            z2    .  1  .             t2    .  1  .

    It stands beside `softmax`, with a small weight (0.001 to 0.05 in the authors' scripts), and has a logit scale of its own. A share a_j
    is drawn for each pair in each step, by its slot (the authors' code draws one for the batch); in an evaluation it is 1/2. Gradients go
    through the mixture.

    A device holds b = B/n rows; c keys are in a tile. Floats of memory beside the embeddings, and floats that a device sends:

        form      memory                        communication
        gather    4 b B + 3 B E                 all-gather B E, reduce-scatter B E twice
        chunked   4 b c + 3 B E                 the same
        ring      4 b c + 7 b E                 n ppermutes each way, twice: 6 B E
    """

    def pairs(
        self, images: jax.Array, texts: jax.Array, batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None
    ) -> TermOutput:
        """See the class."""
        keys = axes.vary(geodesic(images, texts, share=shares(len(images), random=random, alpha=self.spec.m2mix.alpha)))
        form, labels = self.form_of(keys, axes=axes), places(len(images), axes=axes)

        def one_way(queries: jax.Array, positives: jax.Array) -> jax.Array:
            scaled = self.scaled(queries, axes=axes)
            odds, _ = negative_odds(scaled, keys, (scaled * positives).sum(-1), labels, form, axes)
            return mean_of_batch(jax.nn.softplus(odds), axes=axes)

        return TermOutput(loss=(one_way(images, texts) + one_way(texts, images)) / 2, metrics={})


def shares(rows: int, *, random: Randomness | None, alpha: float) -> jax.Array:
    """f32[b]: the image's share of each mixture."""
    if random is None:
        return jnp.full(rows, 0.5)
    even = jax.vmap(lambda key: jax.random.uniform(key, (2,), jnp.float32))(random.of_rows("m2mix"))
    return symmetric_beta(even[:, 0], even[:, 1], alpha=alpha)


def symmetric_beta(u: jax.Array, v: jax.Array, *, alpha: float) -> jax.Array:
    """Beta(alpha, alpha) from two even draws in [0, 1) (Devroye, 1996, "Random variate generation in one line of code")."""
    power, cosine = u ** (1 / alpha), jnp.cos(2 * jnp.pi * v)
    return jnp.clip((1 + cosine * jnp.sqrt((1 - power) / (power + (1 - power) * cosine**2))) / 2, 0, 1)


def geodesic(a: jax.Array, b: jax.Array, *, share: jax.Array) -> jax.Array:
    """The points of the great circles from b to a, f32[b, E] of length one, at `share` f32[b] of the way (Shoemake, 1985).

    Finite, and so are its gradients, where a = b, and where they are opposite and no circle is the shortest.
    """
    cosine = (a * b).sum(-1)
    near = cosine > 1 - NEAR
    angle = jnp.arccos(jnp.maximum(jnp.where(near, 0.0, cosine), -1 + 1e-6))

    def weight(part: jax.Array) -> jax.Array:
        """sin(part angle) / sin(angle)."""
        return jnp.where(near, part * (1 + (1 - part**2) * (1 - cosine) / 3), jnp.sin(part * angle) / jnp.sin(angle))[:, None]

    return weight(share) * a + weight(1 - share) * b
