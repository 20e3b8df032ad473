"""An image at the size that the schedule gives its step, as a row of the batch."""

from __future__ import annotations

import dataclasses

import numpy as np

from .augment import random_box
from .image_presets import preprocessing
from .patches import fit_patches, to_patches
from .picture import Picture, crop, size_of
from .spec import DataSpec, SizeScheduleSpec
from .transforms import augmented, crops, prepare, recoloured


def sized_row(
    image: Picture, spec: DataSpec, random: np.random.Generator, *, schedule: SizeScheduleSpec, size: int
) -> dict[str, np.ndarray]:
    """The random part of the training transform at `size`, what `size_at` says of the step, of an image that went through `prepare`.

    Of `schedule.sizes`: {"image": uint8[S, S, 3]}. Of `seq_lens`: {"patches": uint8[N, P * P * 3], "patch_yx": int32[N, 2],
    "patch_mask": bool[N]}; a random crop then keeps the aspect that it has. Rows of one step stack to a batch.
    """
    if schedule.sizes:
        at = dataclasses.replace(spec, image_size=size, resize_first=None, size_schedule=None)
        return {"image": np.asarray(augmented(prepare(image, at), at, random))}
    if crops(spec.augment):
        image = crop(image, random_box(size_of(image), spec.augment, random))
    image = fit_patches(
        image,
        patch_size=schedule.patch_size,
        seq_len=size,
        interpolation=preprocessing(spec).interpolation,
        resizer=spec.decode.resizer,
    )
    found = to_patches(recoloured(image, spec.augment, random), patch_size=schedule.patch_size, seq_len=size)
    return {"patches": found.pixels, "patch_yx": found.yx, "patch_mask": found.mask}
