"""What an image tower reads: square images, or images of any aspect as sequences of patches; and where on the image each token lies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from ..spec import ImageTowerSpec
from .float32_sums import look_up


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


def patches(images: jax.Array, patch_size: int) -> jax.Array:
    """[B, H, W, 3] -> [B, N, patch_size * patch_size * 3], row by row, each patch in (row, column, channel) order."""
    batch, height, width, channels = images.shape
    rows, columns = height // patch_size, width // patch_size
    grid = images.reshape(batch, rows, patch_size, columns, patch_size, channels)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * columns, patch_size * patch_size * channels)


def take(rows: jax.Array, kept: jax.Array | None) -> jax.Array:
    """The rows of each sample that are kept: [B, N, ...] at i32[B, K] -> [B, K, ...]; None: all."""
    if kept is None:
        return rows
    return jnp.take_along_axis(rows, kept.reshape(*kept.shape, *(1,) * (rows.ndim - 2)), axis=1)


def pixel_rows(images: Images, kept: jax.Array | None, *, spec: ImageTowerSpec) -> jax.Array:
    """The kept patches of each image, normalised: f32[B, K, P * P * 3]. kept: i32[B, K]; None: all."""
    scale, shift = pixel_normalisation(spec)
    if kept is None and not isinstance(images, PatchSequences):
        return patches(images.astype(jnp.float32) * scale + shift, spec.patch_size)
    rows = take(images.pixels if isinstance(images, PatchSequences) else patches(images, spec.patch_size), kept)
    return rows.astype(jnp.float32) * jnp.tile(scale, spec.patch_size**2) + jnp.tile(shift, spec.patch_size**2)


def pixel_normalisation(spec: ImageTowerSpec) -> tuple[jax.Array, jax.Array]:
    """(pixel / 255 - mean) / std as pixel * scale + shift, f[3] each."""
    mean, std = jnp.array(spec.mean, jnp.float32), jnp.array(spec.std, jnp.float32)
    return 1 / (255 * std), -mean / std


def position_rows(table: jax.Array, images: Images, kept: jax.Array | None, *, grid: int, patch_size: int) -> jax.Array:
    """Positions of the kept patches out of f32[grid^2, D]: f32[N, D], or where samples differ f32[B, K, D]. kept: as in `pixel_rows`."""
    weights = position_weights(images, grid=grid, patch_size=patch_size)
    if weights is None:
        return table if kept is None else look_up(table, kept)
    shared = weights.ndim == 2
    rows = jnp.einsum("...ng,gd->...nd", weights if shared else take(weights, kept), table, precision=jax.lax.Precision.HIGHEST)
    return look_up(rows, kept) if shared and kept is not None else rows


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
