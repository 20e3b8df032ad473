"""What a TPU program hands to its host for other slices, whose runtime sums and passes it on: a `send` with attributes `_xla_megascale_*`.

libtpu numbers slices from 1, and writes who takes part in three ways:

    "{1,2}x{0:3}"                         all devices of slices 1 and 2, each with those of its own place
    {{100000,300000},{200000,400000}}     slices 1 and 3, and 2 and 4; a device is 100,000 x slice + place
    {{100003->200000},{200003->100000}}   pairs of devices
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

import numpy as np

from .hlo import Instruction
from .placement import Placement

TARGET = re.compile(r'\b_xla_megascale_target="?(\{[\d,:x{}>-]*)')
TRANSFER = re.compile(r'\b_xla_megascale_transfer_type="(\w+)"')
PAIR = re.compile(r"(\d+)->(\d+)")
FIRST_SET = re.compile(r"\{([\d,]+)\}(x?)")
A_SLICE = 100_000  # what the numbers of two slices' devices are apart
PAIRWISE = "ONE_TO_ONE"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transfer:
    """Of a permutation its pairs, else the members of its first group: each stands for its slice, and is the first device in that.

    kind: `all-reduce`, or another of the collectives.
    """

    kind: str
    members: tuple[int, ...]
    pairs: tuple[tuple[int, ...], ...]


def transfer_of(instruction: Instruction, placement: Placement) -> Transfer | None:
    """What a `send` begins; None for one that is no collective between slices. Devices are counted in the order of the mesh."""
    transfer, target = TRANSFER.search(instruction.attributes), TARGET.search(instruction.attributes)
    if not (transfer and target):
        return None
    if transfer[1] == PAIRWISE:
        pairs = tuple(_firsts((int(end) // A_SLICE for end in pair), placement) for pair in PAIR.findall(target[1]))
        if not pairs:
            raise _unknown(target[1])
        return Transfer(kind="collective-permute", members=pairs[0], pairs=pairs)
    found = FIRST_SET.search(target[1])
    if not found:
        raise _unknown(target[1])
    ids = [int(each) for each in found[1].split(",")]
    slices = ids if found[2] else [each // A_SLICE for each in ids]
    return Transfer(kind=transfer[1].lower().replace("_", "-"), members=_firsts(slices, placement), pairs=())


def _unknown(target: str) -> ValueError:
    return ValueError(f"_xla_megascale_target = {target} of a send is spelt in a way that libtpu 0.0.51 does not have")


def _firsts(slices: Iterable[int], placement: Placement) -> tuple[int, ...]:
    """The first device of the mesh in each of the slices."""
    numbers: Sequence[int] = sorted(set(placement.granules.tolist()))
    return tuple(int(np.flatnonzero(placement.granules == numbers[each - 1])[0]) for each in slices)
