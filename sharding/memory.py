"""Where a compiled step's memory goes, in bytes of one device."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from typing import Any

import jax

from .hardware import Hardware
from .layouts import path_name

# `Ran out of memory in memory space hbm. Used 33.52G of 15.75G hbm.`, or where the temporaries alone are too large
# `the total memory required for HLO temporaries (48.38G) exceeds available HBM (15.75G)`
USED = re.compile(r"(?:Used |total memory required for HLO temporaries \()([\d.]+)([KMGT]?)\b")
GPU_SHARE = "0.75"  # jax's default of XLA_PYTHON_CLIENT_MEM_FRACTION
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
    """Of a compiled step; where the compiler tells no peak, or, as for CPUs, one without temporaries, the sum of what it reserves."""
    found: Any = compiled.memory_analysis()
    outputs = found.output_size_in_bytes - found.alias_size_in_bytes
    temporaries, peak = found.temp_size_in_bytes, found.peak_memory_in_bytes
    return Memory(
        peak=peak if peak > temporaries / 2 else found.argument_size_in_bytes + outputs + temporaries,
        arguments=found.argument_size_in_bytes,
        temporaries=temporaries,
        outputs=outputs,
        code=found.generated_code_size_in_bytes,
    )


def usable_bytes(hardware: Hardware) -> float:
    """Bytes of a device that a program may take: on GPUs the share that jax reserves."""
    share = float(os.environ.get("XLA_PYTHON_CLIENT_MEM_FRACTION", GPU_SHARE)) if hardware.platform == "cuda" else 1.0
    return hardware.hbm_bytes * share


def used_when_full(error: BaseException) -> int | None:
    """The bytes that a step would need, from the compiler's refusal; None where the error is another one."""
    found = USED.search(str(error))
    return int(float(found[1]) * UNITS[found[2]]) if found else None


def argument_bytes(traced: jax.stages.Traced) -> dict[str, int]:
    """Dotted name -> bytes of one device's shard, of every argument; the first part of a name is the argument's number."""
    found = {}
    arguments: Any = traced.in_avals[0]
    for path, array in jax.tree.leaves_with_path(arguments):
        found[path_name(path)] = math.prod(array.sharding.shard_shape(array.shape)) * array.dtype.itemsize
    return found
