"""The image-text-label contrastive term of UniCL and Florence."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from ...sharding.axes import Axes
from .contrastive import Labels
from .softmax import Softmax
from .term import register


@register("unicl")
class UniCL(Softmax):
    """InfoNCE in which all samples of one class, or with one text, are right answers for each other (Yang et al., 2022, UniCL, eq. 2 to 4;
    Yuan et al., 2021, Florence, section 2.2):

        L = 1/2B sum_i [ lse_j(l_ij) - mean_{k in P(i)} l_ik ] + [ lse_j(l_ji) - mean_{k in P(i)} l_ki ],   l_ij = s z_i . t_j

        class a b a c        t1  t2  t3  t4
                        z1  1/2   .  1/2  .
                        z2   .    1   .   .       P(1) = P(3) = {1, 3}
                        z3  1/2   .  1/2  .
                        z4   .    .   .   1

    The class of a sample is `label`, i32[B], where the batch has one and it is not negative; else its text, token for token. A text stands
    as a hash of 64 bits: two different ones of a batch of 1,048,576 are taken for the same with a chance of 3e-8. Where no two samples have
    the same class it is `softmax`, whose memory and communication it has, and 2 B labels.
    """

    def labels(self, batch: Mapping[str, jax.Array], *, rows: int, axes: Axes) -> Labels:
        """The class of each sample as two numbers."""
        high, low = text_hash(batch["text"])
        if "label" not in batch:
            return high, low
        label = batch["label"].astype(jnp.int32)
        # A label's second number is 0, a text's never is.
        return jnp.where(label >= 0, label, high), jnp.where(label >= 0, 0, low)


def text_hash(tokens: jax.Array) -> Labels:
    """i32[b, T] -> two hashes i32[b] of the tokens in their order (FNV-1a, mixed as in MurmurHash3); the second is odd, and so never 0."""

    def one(start: int, prime: int) -> jax.Array:
        value = jnp.full_like(tokens[:, 0], 0).astype(jnp.uint32) + jnp.uint32(start)
        for place in range(tokens.shape[1]):
            value = (value ^ tokens[:, place].astype(jnp.uint32)) * jnp.uint32(prime)
            value ^= value >> 15
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            value = (value ^ (value >> shift)) * jnp.uint32(factor)
        return jax.lax.bitcast_convert_type(value ^ (value >> 16), jnp.int32)

    return one(0x811C9DC5, 0x01000193), one(0x9747B28C, 0xCC9E2D51) | 1
