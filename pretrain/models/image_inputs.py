"""What an image tower reads: square images, or images of any aspect as sequences of patches; and where on the image each token lies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PatchSequences:
    """Images as at most N patches of P x P pixels each (NaFlex: Tschannen et al., 2025, section 2.4.2).

    pixels: uint8[B, N, P * P * 3]. yx: i32[B, N, 2], row and column of each patch in its image. mask: bool[B, N], false at padding.
    """

    pixels: jax.Array
    yx: jax.Array
    mask: jax.Array


Images = jax.Array | PatchSequences


def images_of(batch: Mapping[str, jax.Array]) -> Images:
    """The images of a batch: uint8[B, H, W, 3], or its patches."""
    if "image" in batch:
        return batch["image"]
    return PatchSequences(batch["patches"], batch["patch_yx"], batch["patch_mask"])


def position_weights(images: Images, *, grid: int, patch_size: int) -> jax.Array | None:
    """How much of each row of a table of grid x grid positions a token takes: f32[N, grid^2], or [B, N, grid^2] for patches.

    The table is resized to the image's own grid of patches bilinearly, antialiased where that is smaller, as in big_vision's NaFlex tower,
    but each token takes its row of weights alone, so that no grid of a sample ever exists. None: the image has the table's own grid.
    """
    if isinstance(images, PatchSequences):
        sizes = jnp.max(jnp.where(images.mask[..., None], images.yx + 1, 1), axis=1, keepdims=True)
        rows, columns = (_triangle(images.yx[..., side], sizes[..., side], grid=grid) for side in (0, 1))
    else:
        height, width = images.shape[1] // patch_size, images.shape[2] // patch_size
        if height == width == grid:
            return None
        y, x = jnp.divmod(jnp.arange(height * width), width)
        rows, columns = _triangle(y, height, grid=grid), _triangle(x, width, grid=grid)
    weights = rows[..., :, None] * columns[..., None, :]
    return weights.reshape(*weights.shape[:-2], grid * grid)


def _triangle(place: jax.Array, size: jax.Array | int, *, grid: int) -> jax.Array:
    """Weights of `grid` points for the point `place` of `size` on the same line, as `jax.image.resize(..., "bilinear")`: [..., grid]."""
    step = jnp.asarray(grid / size, jnp.float32)
    centre = (place + 0.5) * step - 0.5
    distance = jnp.abs(centre[..., None] - jnp.arange(grid)) / jnp.maximum(step, 1.0)[..., None]
    weights = jnp.maximum(1.0 - distance, 0.0)
    return weights / weights.sum(-1, keepdims=True)
