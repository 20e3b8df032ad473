"""Bytes that a compiled step reads from and writes to a device's memory: what every kernel of its HLO takes in and puts out.

Counted like XLA's own cost analysis, but loops as often as they run, and without what TPU programs keep in vector memory. A slice of a
larger array counts as the slice, an update in place as the update. Every kernel reads its operands anew: caches are not modelled, so on
GPUs it is an upper bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .collectives import KINDS
from .hlo import Instruction, Module

FREE = {
    "parameter",
    "constant",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "while",
    "conditional",
    "call",
    "after-all",
    "partition-id",
    "replica-id",
    "iota",
    "opt-barrier",
}
FREE_CALLS = ("AllocateBuffer", "ConcatBitcast", "AssumeGatherIndicesInBound")
LIBRARIES = ('"__cublas', '"__cudnn')  # their last result is scratch space, of which they use a little
SLICES = {"dynamic-slice", "slice", "gather"}
Names = Mapping[str, Instruction]


def hbm_bytes(module: Module) -> float:
    """Of one call of the module, per device."""
    total = 0.0
    for name, times in module.kernel_times.items():
        names = {instruction.name: instruction for instruction in module.computations[name]}
        total += times * sum(_bytes(instruction, names, module) for instruction in names.values())
    return total


def _bytes(instruction: Instruction, names: Names, module: Module) -> int:
    opcode = _opcode(instruction, module)
    operands = [names[name] for name in instruction.operands if name in names]
    if opcode in FREE or opcode.endswith(("-done", "-update")):
        return 0
    if opcode == "custom-call" and any(f'"{name}"' in instruction.attributes for name in FREE_CALLS):
        return 0
    if opcode == "custom-call" and any(name in instruction.attributes for name in LIBRARIES):
        return instruction.arrays[0].bytes + sum(map(_off_chip, operands))
    if opcode in ("copy-start", "slice-start"):
        ends = instruction.arrays[:2]
        return sum(not end.on_chip for end in ends) * min(end.bytes for end in ends)
    if opcode == "fusion":
        called = next((module.computations[name] for name in instruction.called if name in module.computations), ())
        return _fusion_bytes(instruction, operands, called)
    if opcode in SLICES:
        return 2 * _off_chip(instruction)
    if opcode == "dynamic-update-slice":
        return 2 * _off_chip(operands[1]) if len(operands) > 1 else 0
    return _off_chip(instruction) + sum(map(_off_chip, operands))


def _opcode(instruction: Instruction, module: Module) -> str:
    """`slice-start` also of an `async-start` that runs a slice, as libtpu writes it where jax writes the former."""
    if instruction.opcode != "async-start":
        return instruction.opcode
    roots = [each.opcode for name in instruction.called for each in module.computations.get(name, ()) if each.root]
    return f"{roots[0]}-start" if roots else instruction.opcode


def _off_chip(instruction: Instruction) -> int:
    return sum(array.bytes for array in instruction.arrays if not array.on_chip)


def _fusion_bytes(fusion: Instruction, operands: Sequence[Instruction], called: Sequence[Instruction]) -> int:
    """What its parameters are read for, and what its root writes."""
    names = {instruction.name: instruction for instruction in called}
    users: dict[str, list[Instruction]] = {}
    for instruction in called:
        for name in instruction.operands:
            users.setdefault(name, []).append(instruction)
    parameters = {int(each.arguments): each for each in called if each.opcode == "parameter" and each.arguments.isdecimal()}
    read = sum(
        _read(parameters[place], operand, users.get(parameters[place].name, []))
        for place, operand in enumerate(operands)
        if place in parameters
    )
    root = next((each for each in called if each.root), None)
    if root is None:
        return read + _off_chip(fusion)
    outputs = [names[name] for name in root.operands if name in names] if root.opcode == "tuple" else [root]
    if len(outputs) != len(fusion.arrays):
        return read + _off_chip(fusion)
    return read + sum(_written(output, names) for output, array in zip(outputs, fusion.arrays) if not array.on_chip)


def _read(parameter: Instruction, operand: Instruction, users: Sequence[Instruction]) -> int:
    if any(array.on_chip for array in operand.arrays):
        return 0
    used = [user for user in users if not (user.root and user.opcode == "tuple")]
    if all(user.opcode in SLICES for user in used):
        return sum(user.bytes for user in used)
    in_place = [user for user in used if user.opcode == "dynamic-update-slice" and user.operands[0] == parameter.name]
    return 0 if len(in_place) == len(used) else operand.bytes


def _written(output: Instruction, names: Names) -> int:
    """Nothing for what passes through, and for collectives that a TPU fusion only helps along (they are counted where they arrive)."""
    if output.opcode == "parameter" or output.opcode in KINDS:
        return 0
    if output.opcode == "bitcast" and output.operands and output.operands[0] in names:
        return _written(names[output.operands[0]], names)
    if output.opcode == "dynamic-update-slice":
        return names[output.operands[1]].bytes if output.operands[1] in names else 0
    return output.bytes
