"""Image sizes that change during training: which one a step has. The same on all hosts, because it asks the seed and the step alone."""

from __future__ import annotations

import math

from .order import hash_seed
from .spec import SizeScheduleSpec


def size_at(schedule: SizeScheduleSpec, *, seed: int, step: int, full: int) -> int:
    """The size (one of `sizes`, or of `seq_lens`) of step `step` of the run: a pure function of the seed and the step's window.

    The step of a sample at position p is p // batch size: the size belongs to a batch, not to a sample. full: `data.image_size`, which is
    the size from `until` on.
    """
    if schedule.until is not None and step >= schedule.until:
        return full
    choices = schedule.sizes or schedule.seq_lens
    return choices[hash_seed("image size", seed, step // schedule.window, bits=64) % len(choices)]


def largest_side(schedule: SizeScheduleSpec, *, full: int) -> int:
    """Pixels of the shorter side of the largest image of the schedule (of patches: of a square one). full: as in `size_at`."""
    if schedule.sizes:
        return max((*schedule.sizes, full) if schedule.until is not None else schedule.sizes)
    return math.ceil(math.sqrt(max(schedule.seq_lens))) * schedule.patch_size
