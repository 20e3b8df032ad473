"""The collectives of a step, added up: how many bytes of which kind go over which axes, links and networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from .collectives import Collective, wire_bytes
from .origins import scope
from .placement import Placement


@dataclasses.dataclass(frozen=True, kw_only=True)
class Traffic:
    """All collectives of one kind over the same axes, per device and step.

    scope: the outermost named scope of the traced program, or empty. group: devices in one. count: runs. bytes: of the whole arrays.
    link_bytes: sent over ICI or NVLink. network_bytes: a device's share of what leaves its slice or node. dimensions: of the torus.
    """

    kind: str
    axes: tuple[str, ...]
    scope: str
    group: int
    count: float
    bytes: float
    link_bytes: float
    network_bytes: float
    dimensions: int


def traffic(found: Iterable[Collective], placement: Placement) -> list[Traffic]:
    """The sums by kind, axes and scope, the dearest first."""
    sums: dict[tuple[str, tuple[str, ...], str, int], list[Collective]] = {}
    for each in found:
        sums.setdefault((each.kind, each.axes, scope(each.where), each.group), []).append(each)
    rows = []
    for (kind, axes, place, group), same in sums.items():
        network = sum(each.times * network_bytes(each, placement) for each in same)
        rows.append(
            Traffic(
                kind=kind,
                axes=axes,
                scope=place,
                group=group,
                count=sum(each.times for each in same),
                bytes=sum(each.times * each.bytes for each in same),
                link_bytes=sum(each.wire_bytes for each in same) - network,
                network_bytes=network,
                dimensions=max(placement.dimensions(each.members) for each in same),
            )
        )
    return sorted(rows, key=lambda row: -(row.link_bytes + row.network_bytes))


def network_bytes(collective: Collective, placement: Placement) -> float:
    """A device's share of what its granule sends to others in one run."""
    if collective.pairs:
        return collective.bytes * placement.crossing(collective.pairs)
    granules, inside = placement.granule_sizes(collective.members)
    leaving = wire_bytes(collective.kind, collective.bytes, granules)
    return leaving if collective.kind == "all-to-all" else leaving / inside  # each device holds bytes of its own
