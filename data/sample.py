"""What every source gives: one sample as bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Sample:
    """One sample as it lies in its shard. shard: path. members: suffix (lower case, `png`) -> content."""

    shard: str
    key: str
    members: Mapping[str, bytes]
