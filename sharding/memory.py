"""Where a compiled step's memory goes, in bytes of one device."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import jax

from .layouts import path_name

# `Ran out of memory in memory space hbm. Used 33.52G of 15.75G hbm.`
USED = re.compile(r"Used ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?) hbm")
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory:
    """What the compiler reserves on a device.

    peak: of everything that lives at once. arguments: state and batch. temporaries: activations, gradients, buffers. outputs: that do not
    take the place of a donated argument. code: of the program.
    """

    peak: int
    arguments: int
    temporaries: int
    outputs: int
    code: int


def memory_of(compiled: jax.stages.Compiled) -> Memory:
    """Of a compiled step; where the compiler tells no peak, all that is live at some time, each in a place of its own."""
    found = compiled.memory_analysis()
    outputs = found.output_size_in_bytes - found.alias_size_in_bytes
    together = found.argument_size_in_bytes + found.temp_size_in_bytes + outputs
    return Memory(
        peak=found.peak_memory_in_bytes or together,
        arguments=found.argument_size_in_bytes,
        temporaries=found.temp_size_in_bytes,
        outputs=outputs,
        code=found.generated_code_size_in_bytes,
    )


def used_when_full(error: BaseException) -> int | None:
    """The bytes that a step would need, from the compiler's refusal; None where the error is another one."""
    found = USED.search(str(error))
    return int(float(found[1]) * UNITS[found[2]]) if found else None


def argument_bytes(traced: jax.stages.Traced) -> dict[str, int]:
    """Dotted name -> bytes of one device's shard, of every argument; the first part of a name is the argument's number."""
    found = {}
    for path, info in jax.tree.leaves_with_path(traced.args_info[0]):
        array: Any = info.aval
        shape = array.sharding.shard_shape(array.shape)
        found[path_name(path)] = jax.ShapeDtypeStruct(shape, array.dtype).size * array.dtype.itemsize
    return found
