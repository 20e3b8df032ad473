"""The planner's engine: compiles any traced step for a topology and weighs what comes out. It knows no recipe."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import jax

from .collectives import Traffic, collectives, traffic
from .hlo import parse
from .memory import Memory, memory_of, used_when_full


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weight:
    """What a compiled step takes of one device.

    memory: None where the compiler refused the step as too large. needed: bytes of its peak, or what the refusal named.
    traffic: collectives by kind and axes; empty after a refusal.
    """

    memory: Memory | None
    needed: int
    traffic: tuple[Traffic, ...]
    compile_seconds: float


def weigh(lowered: jax.stages.Lowered, mesh: Mapping[str, int], *, options: Mapping[str, Any] | None = None) -> Weight:
    """Compiles; mesh: axis -> size. Any failure but running out of memory is raised as the compiler raises it."""
    start = time.perf_counter()
    try:
        compiled = lowered.compile(compiler_options=dict(options or {}))
    except jax.errors.JaxRuntimeError as error:
        needed = used_when_full(error)
        if needed is None:
            raise
        return Weight(memory=None, needed=needed, traffic=(), compile_seconds=time.perf_counter() - start)
    seconds = time.perf_counter() - start
    memory = memory_of(compiled)
    found = collectives(parse(compiled.as_text()), mesh)
    return Weight(memory=memory, needed=memory.peak, traffic=tuple(traffic(found)), compile_seconds=seconds)
