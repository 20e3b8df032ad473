"""What training steps reached on real devices, with the day they were measured; what a maker states is in hardware.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """One recipe's step on one kind of hardware.

    date: ISO. hardware: `Hardware.name`. mfu: model FLOPs (products only, no recomputation) over the peak, 0 to 1.
    """

    date: str
    hardware: str
    devices: int
    recipe: str
    mfu: float


# None yet: no device has been lent. Newest last.
MEASUREMENTS: tuple[Measurement, ...] = ()


def measured_mfu(hardware: str, recipe: str, *, table: Sequence[Measurement] = MEASUREMENTS) -> Measurement | None:
    """The newest measurement of this recipe on this hardware, or else of any recipe on it; None where there is none."""
    here = [found for found in table if found.hardware == hardware]
    same = [found for found in here if found.recipe == recipe]
    return next(reversed(same or here), None)
