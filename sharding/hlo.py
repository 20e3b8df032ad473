"""The text of a compiled HLO module, as far as the planner reads it: instructions, who calls whom, and how often loops run."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Mapping, Sequence

COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*?) ([a-z][a-z0-9\-]*)\((.*)$")
ARRAY = re.compile(r"\b(pred|bf16|[suf]\d+\w*|c\d+)\[([\d,]*)\](\{[^}]*\})?")
OPERAND_END = re.compile(r"\)(, |$)")
NAME = re.compile(r"%([\w.\-]+)")
CALLED = re.compile(r"\b(body|calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)")
BRANCHES = re.compile(r"\bbranch_computations=\{([^}]*)\}")
CONDITION = re.compile(r"\bcondition=%?([\w.\-]+)")
TRIP_COUNT = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
CONSTANT = re.compile(r"^(\d+)\)")
BITS = re.compile(r"\d+")
ON_CHIP = "S(1)"  # TPU's vector memory in a layout: reading it costs no HBM traffic


@dataclasses.dataclass(frozen=True)
class Array:
    """One array of a shape: bytes as its element type and dimensions say, without padding. on_chip: lies in a TPU's vector memory."""

    elements: int
    bytes: int
    on_chip: bool


@dataclasses.dataclass(frozen=True)
class Instruction:
    """`%name = shape opcode(operands), attributes`; operands are names, `arguments` what stands between the brackets."""

    name: str
    shape: str
    opcode: str
    arguments: str
    attributes: str
    root: bool

    @functools.cached_property
    def operands(self) -> tuple[str, ...]:
        """Names of the operands."""
        return tuple(NAME.findall(self.arguments))

    @functools.cached_property
    def arrays(self) -> tuple[Array, ...]:
        """The arrays of the result, a tuple's in their order."""
        return arrays_of(self.shape)

    @property
    def bytes(self) -> int:
        """Of the result."""
        return sum(array.bytes for array in self.arrays)

    @property
    def called(self) -> tuple[str, ...]:
        """Computations that this one runs; a loop's condition is left out."""
        named = [name for _, name in CALLED.findall(self.attributes)]
        branches = [name.strip().lstrip("%") for found in BRANCHES.findall(self.attributes) for name in found.split(",")]
        return tuple(named + branches)


@dataclasses.dataclass(frozen=True)
class Module:
    """computations: name -> its instructions in order. entry: the name of the one that runs."""

    computations: Mapping[str, tuple[Instruction, ...]]
    entry: str

    @functools.cached_property
    def times(self) -> Mapping[str, float]:
        """How often each computation runs in one call of the module; every branch of a conditional counts as taken."""
        return self._walk(skip=("async-update", "async-done"))  # they name the computation that async-start runs

    @functools.cached_property
    def kernel_times(self) -> Mapping[str, float]:
        """The same for computations whose instructions are kernels of their own: not those inside of a fusion or a reduction."""
        return self._walk(only=("while", "conditional", "call"))

    def _walk(self, *, skip: Sequence[str] = (), only: Sequence[str] | None = None) -> dict[str, float]:
        found: dict[str, float] = {}
        pending = [(self.entry, 1.0)]
        while pending:
            name, times = pending.pop()
            found[name] = found.get(name, 0.0) + times
            for instruction in self.computations[name]:
                if instruction.opcode not in skip and (only is None or instruction.opcode in only):
                    turns = self.trips(instruction) if instruction.opcode == "while" else 1
                    pending += [(called, times * turns) for called in instruction.called if called in self.computations]
        return found

    def trips(self, loop: Instruction) -> int:
        """How often the body of a `while` runs: as the compiler notes it, else the constant that its condition compares with, else 1."""
        if known := TRIP_COUNT.search(loop.attributes):
            return int(known[1])
        condition = CONDITION.search(loop.attributes)
        body = self.computations.get(condition[1], ()) if condition else ()
        bounds = [
            CONSTANT.match(each.arguments) for each in body if each.opcode == "constant" and each.shape.startswith(("s32[]", "s64[]"))
        ]
        return max((int(bound[1]) for bound in bounds if bound), default=1)


def parse(text: str) -> Module:
    """The module of `jax.stages.Compiled.as_text()`; ValueError where the text has no entry computation."""
    computations: dict[str, list[Instruction]] = {}
    entry, current = "", list[Instruction]()
    for line in text.splitlines():
        if (head := COMPUTATION.match(line)) and not line.startswith("HloModule"):
            current = computations.setdefault(head[2], [])
            entry = head[2] if head[1] else entry
        elif found := INSTRUCTION.match(line):
            root, name, shape, opcode, rest = found.groups()
            end = OPERAND_END.search(rest)
            arguments, attributes = (rest[: end.start()], rest[end.end() :]) if end else (rest, "")
            arguments = arguments + ")" if opcode == "constant" else arguments
            current.append(Instruction(name, shape, opcode, arguments, attributes, bool(root)))
    if not entry:
        raise ValueError("the text has no ENTRY computation: it is not a compiled HLO module")
    return Module({name: tuple(instructions) for name, instructions in computations.items()}, entry)


@functools.lru_cache(maxsize=4096)
def arrays_of(shape: str) -> tuple[Array, ...]:
    """The arrays that a shape such as `(f32[2,3]{1,0:T(8,128)S(1)}, u32[])` names."""
    found = []
    for kind, dimensions, layout in ARRAY.findall(shape):
        elements = math.prod(int(size) for size in dimensions.split(",") if size)
        bits = BITS.search(kind)
        found.append(Array(elements, math.ceil(elements * (int(bits[0]) if bits else 8) / 8), ON_CHIP in layout))
    return tuple(found)
