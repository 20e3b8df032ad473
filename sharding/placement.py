"""Where the devices of a mesh stand: in which slice or node, and where on its torus."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from .mesh import granules


@dataclasses.dataclass(frozen=True, kw_only=True)
class Placement:
    """The devices in the order of the mesh.

    mesh: axis -> size. granules: int[n], the slice or node of each. coordinates: int[n, d] on the torus of its slice; d = 0: a switch.
    """

    mesh: Mapping[str, int]
    granules: np.ndarray
    coordinates: np.ndarray

    def granule_sizes(self, members: Sequence[int]) -> tuple[int, int]:
        """(granules that the members are in, members in each)."""
        count = len(set(self.granules[list(members)].tolist()))
        return count, len(members) // count

    def crossing(self, pairs: Sequence[Sequence[int]]) -> float:
        """The share of (source, target) pairs in different granules."""
        ends = self.granules[np.array(pairs)]
        return float(np.mean(ends[:, 0] != ends[:, 1]))

    def dimensions(self, members: Sequence[int]) -> int:
        """Dimensions of the torus along which the members of a group stand apart."""
        places = self.coordinates[list(members)]
        return sum(len(set(places[:, dimension].tolist())) > 1 for dimension in range(places.shape[1]))


def placement_of(mesh: jax.sharding.Mesh) -> Placement:
    """Of a mesh of TPUs, whose slices are granules, or GPUs, whose nodes are."""
    devices = mesh.devices.flatten().tolist()
    attribute, count = granules(devices)
    where = np.array([getattr(device, attribute) for device in devices]) if count > 1 else np.zeros(len(devices), int)
    coordinates = np.array([device.coords if device.platform == "tpu" else () for device in devices])
    return Placement(mesh=dict(mesh.shape), granules=where, coordinates=coordinates)
