"""The planner's engine: compiles any traced step for a topology and weighs what comes out. It knows no recipe."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping
from typing import Any

import jax

from .collectives import collectives
from .compiler_options import compiler_options
from .flops import Product, count_products
from .hbm import hbm_bytes
from .hlo import parse
from .hlo_text import compile_step
from .memory import Memory, argument_bytes, memory_of, usable_bytes, used_when_full
from .placement import Placement, placement_of
from .plan_cache import PlanCache, plan_key
from .roofline import Roofline, roofline
from .topology import Topology
from .traffic import Traffic, traffic


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weight:
    """What a compiled step takes of one device.

    memory: None where the compiler refused the step as too large. needed: bytes of its peak, or what the refusal named.
    traffic, hbm_bytes: a step's; empty and 0 after a refusal.
    """

    memory: Memory | None
    needed: int
    traffic: tuple[Traffic, ...]
    hbm_bytes: float
    compile_seconds: float

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Weight:
        """From `dataclasses.asdict`, written as JSON and read again."""
        memory = found["memory"] and Memory(**found["memory"])
        rows = tuple(Traffic(**{**row, "axes": tuple(row["axes"])}) for row in found["traffic"])
        return cls(**{**found, "memory": memory, "traffic": rows})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """A step on a topology.

    arguments: dotted name -> bytes of a device's shard. products: FLOPs that all devices do in a step, recomputation included.
    """

    topology: Topology
    mesh: Mapping[str, int]
    weight: Weight
    arguments: Mapping[str, int]
    products: Mapping[Product, int]

    @property
    def usable(self) -> float:
        """Bytes of a device that a program may take."""
        return usable_bytes(self.topology.hardware)

    @property
    def fits(self) -> bool:
        """Whether it can run."""
        return self.weight.memory is not None and self.weight.needed <= self.usable

    @functools.cached_property
    def roofline(self) -> Roofline | None:
        """None where the compiler refused the step."""
        if self.weight.memory is None:
            return None
        return roofline(
            self.products,
            devices=len(self.topology.devices),
            hbm_bytes=self.weight.hbm_bytes,
            traffic=self.weight.traffic,
            hardware=self.topology.hardware,
        )


def plan_step(
    traced: jax.stages.Traced,
    mesh: jax.sharding.Mesh,
    topology: Topology,
    *,
    options: Mapping[str, Any] | None = None,
    cache: PlanCache | None = None,
) -> Plan:
    """Lowers and compiles a step that was traced on `mesh`, over the devices of `topology`; a step that is in `cache` is not compiled."""
    arguments, products = argument_bytes(traced), count_products(traced.jaxpr.jaxpr)
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        lowered = traced.lower(lowering_platforms=(topology.hardware.platform,))
    options = {**compiler_options(mesh), **topology.options, **(options or {})}
    key = plan_key(lowered.as_text(), topology.name, topology.compiler, options)
    known = cache.read(key) if cache else None
    weight = Weight.from_json(known) if known else weigh(lowered, placement_of(mesh), platform=topology.hardware.platform, options=options)
    if cache and not known:
        cache.write(key, dataclasses.asdict(weight))
    return Plan(topology=topology, mesh=dict(mesh.shape), weight=weight, arguments=arguments, products=products)


def weigh(lowered: jax.stages.Lowered, placement: Placement, *, platform: str, options: Mapping[str, Any]) -> Weight:
    """Compiles. Any failure but running out of memory is raised as the compiler raises it."""
    start = time.perf_counter()
    try:
        program = compile_step(lowered, platform=platform, options=options)
    except jax.errors.JaxRuntimeError as error:
        needed = used_when_full(error)
        if needed is None:
            raise
        return Weight(memory=None, needed=needed, traffic=(), hbm_bytes=0.0, compile_seconds=time.perf_counter() - start)
    seconds = time.perf_counter() - start
    memory, module = memory_of(program.compiled), parse(program.text)
    rows = traffic(collectives(module, placement), placement)
    return Weight(memory=memory, needed=memory.peak, traffic=tuple(rows), hbm_bytes=hbm_bytes(module), compile_seconds=seconds)
