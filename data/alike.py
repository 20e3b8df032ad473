"""Whether two hosts have the same samples, and what differs first where they do not: told in a few kB, however many shards there are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .index import Index
from .manifest import base_name
from .source import Source
from .state import ALONE

BLOCKS = 64  # of the shards of a source: up to so many, the one that differs is named


def outline(sources: Mapping[str, Source]) -> dict[str, Any]:
    """name -> {"fingerprint", "shards", "blocks": digests of stretches of the shards}, for JSON."""
    return {name: _outline(source) for name, source in sources.items()}


def first_difference(sources: Mapping[str, Source], other: Mapping[str, Any]) -> str | None:
    """In words, what differs first between `sources` and the outline of another host's; None: nothing."""
    for name, source in sorted(sources.items()):
        setting = "data.train" if name == ALONE else f"data.mixture.{name}.train"
        here, there = _outline(source), other.get(name)
        if there is None:
            return f"{setting} is not in its recipe"
        if here["shards"] != there["shards"]:
            return f"{setting} has {here['shards']} shards, not {there['shards']}"
        for number, (block, theirs) in enumerate(zip(here["blocks"], there["blocks"], strict=True)):
            if block != theirs:
                return f"{setting} has another name, size or number of samples for {_named(source, number)}"
        if here["fingerprint"] != there["fingerprint"]:
            return f"{setting} has another content"
    return None


def _outline(source: Source) -> dict[str, Any]:
    rows, step = _rows(source), _step(source)
    blocks = [hashlib.sha256(json.dumps(rows[first : first + step]).encode()).hexdigest()[:16] for first in range(0, len(rows), step)]
    return {"fingerprint": source.fingerprint, "shards": len(rows), "blocks": blocks}


def _rows(source: Source) -> list[Any]:
    if isinstance(source, Index):
        return [[base_name(shard.url), shard.bytes, shard.samples] for shard in source.shards]
    return source.counts.tolist()


def _step(source: Source) -> int:
    """Shards of a block."""
    return max(-(-len(source.counts) // BLOCKS), 1)


def _named(source: Source, block: int) -> str:
    """The shards of a block."""
    step = _step(source)
    first, last = block * step, min((block + 1) * step, len(source.counts)) - 1
    if not isinstance(source, Index):
        return f"shard {first}" if first == last else f"one of the shards {first} .. {last}"
    names = base_name(source.shards[first].url), base_name(source.shards[last].url)
    return names[0] if first == last else f"one of the shards {names[0]} .. {names[1]}"
