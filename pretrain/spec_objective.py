"""The `objective` part of a recipe. No jax."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectiveSpec:
    """Weighted terms. The total loss is the weighted sum.

    terms: name of a registered term -> weight: `softmax`, `sigmoid`, `captioning`.
    init_scale, max_scale: the logit scale (inverse temperature) at the start, and its upper bound after each step (absent: none).
    init_bias: the sigmoid term's logit bias at the start.
    """

    terms: Mapping[str, float] = dataclasses.field(default_factory=dict)
    init_scale: float = 1 / 0.07
    max_scale: float | None = 100.0
    init_bias: float = -10.0
