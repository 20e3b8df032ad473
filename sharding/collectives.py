"""The collectives of a compiled step: which, of how many bytes, over which mesh axes, how often. Read from its HLO text.

Bytes are counted per device and step, loops as often as they run. **Wire bytes** are those that one device must send whatever the
algorithm, with n devices in a group and S bytes in the whole array: all-gather and reduce-scatter (n - 1)/n S, all-reduce twice that,
all-to-all (n - 1)/n of what it holds, a permutation all that it holds. Where a group is in g granules (slices or nodes) with k devices in
each, the network carries what one granule must send, (g - 1)/g S or twice that, shared by its k devices, and of an all-to-all (g - 1)/g of
what each of its devices holds; links carry the rest.

TPU programs spread one collective over several fusions, which all repeat it, with one `chain_id`: it counts once. An all-reduce inside a
computation `all-reduce-scatter` is a reduce-scatter: the slice that follows is fused into it. What devices give those of other slices is
between one device of each slice (`megascale.py`); of a permutation, which few devices of a slice send, each counts as sending its share.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from .hlo import Instruction, Module
from .megascale import Transfer, transfer_of
from .origins import Origins
from .placement import Placement

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
CHAIN = re.compile(r'\bchain_id="(\d+)"')
LISTED = re.compile(r"\breplica_groups=\{(\{.*?\})\}")
IOTA = re.compile(r"\breplica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?")
PAIRS = re.compile(r"\bsource_target_pairs=\{(\{.*?\})\}")
FUSED_SCATTER = "all-reduce-scatter"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Collective:
    """One collective of the step.

    axes: mesh axes along which the members of a group differ. group: devices in one. bytes: of the whole array (what every device has
    after an all-gather or all-reduce, or before a reduce-scatter). times: runs a step. members: of the first group. pairs: of a
    permutation. where: the name of an operation of the traced program (`origins.py`).
    """

    kind: str
    bytes: int
    axes: tuple[str, ...]
    group: int
    times: float
    members: tuple[int, ...]
    pairs: Sequence[Sequence[int]]
    where: str

    @property
    def wire_bytes(self) -> float:
        """Sent by one device in a step."""
        return self.times * wire_bytes(self.kind, self.bytes, self.group)


def wire_bytes(kind: str, size: float, group: int) -> float:
    """Bytes that a device sends in one collective of `size` bytes among `group` devices."""
    match kind:
        case "all-reduce":
            return 2 * size * (group - 1) / group
        case "collective-permute":
            return size
        case _:
            return size * (group - 1) / group


def collectives(module: Module, placement: Placement) -> list[Collective]:
    """All collectives between more than one device."""
    return list(_found(module, placement))


def _found(module: Module, placement: Placement) -> Iterator[Collective]:
    mesh, chains, origins = placement.mesh, set[str](), Origins(module)
    for name, times in module.times.items():
        for instruction in module.computations[name]:
            if instruction.opcode == "send" and (transfer := transfer_of(instruction, placement)):
                where = origins.of(name, instruction, kind=transfer.kind)
                yield _between_slices(instruction, transfer, mesh=mesh, times=times, where=where)
            kind = instruction.opcode.removesuffix("-start")
            if kind not in KINDS:
                continue
            if chain := CHAIN.search(instruction.attributes):
                if chain[1] in chains:
                    continue
                chains.add(chain[1])
            groups = groups_of(instruction, devices=int(np.prod(list(mesh.values()))))
            members = groups[0]
            if kind == "collective-permute" or len(members) > 1:
                permuted = kind == "collective-permute"
                scattered = kind == "all-reduce" and name.startswith(FUSED_SCATTER)
                yield Collective(
                    kind="reduce-scatter" if scattered else kind,
                    bytes=whole_bytes(instruction, kind=kind, group=len(members)),
                    axes=axes_between(groups if permuted else [members], mesh),
                    group=len(members),
                    times=times,
                    members=tuple(members),
                    pairs=groups if permuted else (),
                    where=origins.of(name, instruction, kind=kind),
                )


def _between_slices(instruction: Instruction, transfer: Transfer, *, mesh: Mapping[str, int], times: float, where: str) -> Collective:
    sent, group = instruction.arrays[0].bytes, len(transfer.members)
    whole = {"all-gather": sent * group, "collective-permute": sent * len(transfer.pairs) // int(np.prod(list(mesh.values())))}
    return Collective(
        kind=transfer.kind,
        bytes=whole.get(transfer.kind, sent),
        axes=axes_between(transfer.pairs or [transfer.members], mesh),
        group=group,
        times=times,
        members=transfer.members,
        pairs=transfer.pairs,
        where=where,
    )


def whole_bytes(instruction: Instruction, *, kind: str, group: int) -> int:
    """Of the whole array; the result of a `-start` holds operand and result, but that of an all-reduce."""
    found = instruction.bytes
    started = instruction.opcode.endswith("-start")
    match kind:
        case "all-gather" | "reduce-scatter" if started:
            return found * group // (group + 1)
        case "all-to-all" if started:
            return found // 2
        case "collective-permute" if started:
            return instruction.arrays[0].bytes
        case "reduce-scatter":
            return found * group
        case _:
            return found


def groups_of(instruction: Instruction, *, devices: int) -> Sequence[Sequence[int]]:
    """The groups of a collective; of a permutation its pairs of source and target."""
    if pairs := PAIRS.search(instruction.attributes):
        return _listed(pairs[1])
    if groups := IOTA.search(instruction.attributes):
        shape, source, order = ([int(size) for size in (part or "").split(",") if size] for part in groups.groups())
        ids = np.arange(np.prod(source)).reshape(source)
        return (ids.transpose(order) if order else ids).reshape(shape).tolist()
    if listed := LISTED.search(instruction.attributes):
        return _listed(listed[1])
    return [list(range(devices))]


def _listed(text: str) -> list[list[int]]:
    return [[int(device) for device in group.split(",")] for group in text.strip("{}").split("},{")]


def axes_between(groups: Iterable[Sequence[int]], mesh: Mapping[str, int]) -> tuple[str, ...]:
    """The axes of the mesh along which members of one group lie apart."""
    apart: set[str] = set()
    for group in groups:
        places = np.array(np.unravel_index(np.array(group), tuple(mesh.values())))
        apart |= {axis for axis, place in zip(mesh, places) if len(set(place)) > 1}
    return tuple(axis for axis in mesh if axis in apart)
