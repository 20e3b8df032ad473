"""Which part of the traced program an instruction of a compiled one belongs to.

Its metadata has the name of the operation that it was made from; libtpu leaves many collectives without (asynchronous ones, padded
reduce-scatters, all that goes to other slices). These belong with their neighbours in the dataflow: a sum with what it adds up, and
anything else with what takes it. Where no neighbour in a computation has a name, the instruction that calls it is looked at, then the
neighbours of that one.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from .hlo import Instruction, Module

STRUCTURE = {"shard_map", "while", "body", "cond", "closed_call", "checkpoint", "rematted_computation"}  # jax's own, in names of operations
SUMS = ("all-reduce", "reduce-scatter")
JOINTS = ("while", "conditional", "call", "tuple", "optimization-barrier", "parameter")  # where unlike things meet
OP_NAME = re.compile(r'\bop_name="([^"]*)"')
RENDEZVOUS = re.compile(r'\b_xla_host_transfer_rendezvous="([^"]*)"')


def scope(where: str) -> str:
    """`objective_softmax` of `jit(train_step)/jvp()/shard_map/objective_softmax/all_gather`: the outermost part that is a plain name."""
    return next((part for part in where.split("/")[1:-1] if part.isidentifier() and part not in STRUCTURE), "")


@dataclasses.dataclass(frozen=True)
class Origins:
    """Finds the names of a module's instructions."""

    module: Module

    def of(self, computation: str, instruction: Instruction, *, kind: str) -> str:
        """The name of an operation of the traced program, or empty; kind: of a collective."""
        if own := _name(instruction):
            return own
        before, after = functools.partial(self._operands, computation), functools.partial(self._users, computation)
        for step in (before, after) if kind in SUMS else (after, before):
            if found := _nearest(instruction, step):
                return found
        for caller_in, caller in self._callers.get(computation, ()):
            if found := self.of(caller_in, caller, kind=kind):
                return found
        return ""

    @functools.cached_property
    def _callers(self) -> Mapping[str, Sequence[tuple[str, Instruction]]]:
        found: dict[str, list[tuple[str, Instruction]]] = {}
        for name in self.module.times:
            for instruction in self.module.computations[name]:
                for called in instruction.called:
                    found.setdefault(called, []).append((name, instruction))
        return found

    @functools.cached_property
    def _used(self) -> Mapping[tuple[str, str], Sequence[Instruction]]:
        found: dict[tuple[str, str], list[Instruction]] = {}
        for name in self.module.times:
            for instruction in self.module.computations[name]:
                for operand in instruction.operands:
                    found.setdefault((name, operand), []).append(instruction)
        return found

    @functools.cached_property
    def _named(self) -> Mapping[tuple[str, str], Instruction]:
        return {(name, each.name): each for name in self.module.times for each in self.module.computations[name]}

    def _operands(self, computation: str, instruction: Instruction) -> Iterable[Instruction]:
        return [self._named[computation, name] for name in instruction.operands if (computation, name) in self._named]

    def _users(self, computation: str, instruction: Instruction) -> Iterable[Instruction]:
        """What hosts bring back is taken from the `recv` of the same rendezvous."""
        met = RENDEZVOUS.search(instruction.attributes) if instruction.opcode == "send" else None
        if met is None:
            return self._used.get((computation, instruction.name), ())
        return [each for each in self.module.computations[computation] if each.opcode == "recv" and met[0] in each.attributes]


def _name(instruction: Instruction) -> str:
    found = OP_NAME.search(instruction.attributes)
    return found[1] if found else ""


def _nearest(start: Instruction, step: Callable[[Instruction], Iterable[Instruction]]) -> str:
    """The first name with a scope that is met going step by step through what has no name."""
    level, seen = [start], {start.name}
    while level:
        following = [each for instruction in level for each in step(instruction) if each.name not in seen]
        seen.update(each.name for each in following)
        if found := next((name for each in following if scope(name := _name(each))), ""):
            return found
        level = [each for each in following if not _name(each) and each.opcode not in JOINTS]
    return ""
