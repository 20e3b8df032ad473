"""Token dropping: in training an image tower reads a random part of each image's patches.

FLIP (Li et al., 2023, "Scaling language-image pre-training via masking", section 3): what is dropped costs nothing, as no product is made
of it; evaluation sees all patches. Without `model.image.patch_dropout` the same parameters train on whole images: unmasked tuning.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ..randomness import Randomness
from .image_inputs import Images, PatchSequences

PURPOSE = "patch dropout"


def kept_count(patches: int, dropout: float) -> int:
    """How many of `patches` are kept: (1 - dropout) of them, rounded down as in open_clip, and one at least."""
    return max(1, int(patches * (1 - dropout) + 1e-6))  # 100 x (1 - 0.9) is 9.999... in floats


def kept_patches(images: Images, *, patch_size: int, dropout: float, random: Randomness | None) -> jax.Array | None:
    """Which patches of each image are kept, i32[B, K], drawn evenly without repetition; None: all, as in an evaluation (random: None).

    A function of (seed, step, slot) alone. Real patches are kept before padding, so that an image with K or fewer keeps all.
    """
    if random is None or not dropout:
        return None
    if isinstance(images, PatchSequences):
        count = images.pixels.shape[1]
        draws = jnp.where(images.mask, _draws(random, count), -1.0)
    else:
        count = (images.shape[1] // patch_size) * (images.shape[2] // patch_size)
        draws = _draws(random, count)
    return jax.lax.top_k(draws, kept_count(count, dropout))[1]


def _draws(random: Randomness, count: int) -> jax.Array:
    """f32[B, count] in [0, 1)."""
    return jax.vmap(lambda key: jax.random.uniform(key, (count,)))(random.of_rows(PURPOSE))
