"""The `mesh` part of a recipe. No jax: only what can be said."""

from __future__ import annotations

import dataclasses

AXES = ("replica", "fsdp", "tensor")
DATA_AXES = ("replica", "fsdp")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeshSpec:
    """Sizes of the mesh axes; -1 takes what the other two leave of the devices.

    Where replica and fsdp (and perhaps tensor) are -1, the preset of the hardware shares the devices out (sharding/presets.py); otherwise
    at most one may be -1.

    replica: copies of the parameters (over DCN). fsdp: shards of parameters and optimizer state. tensor: shards of heads and hidden units.
    The batch is sharded over (replica, fsdp).
    """

    replica: int = 1
    fsdp: int = -1
    tensor: int = 1
