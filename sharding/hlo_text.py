"""A step's compiled program and its HLO text, by one compilation."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

LAST = "*after_codegen.txt"  # of libtpu's dumps, the one of the program that runs


@dataclasses.dataclass(frozen=True)
class Program:
    """text: the HLO of `compiled`."""

    compiled: jax.stages.Compiled
    text: str


def compile_step(lowered: jax.stages.Lowered, *, platform: str, options: Mapping[str, Any]) -> Program:
    """Compiles for `tpu`, `cuda` or `cpu`; raises what the compiler raises.

    libtpu writes the text down itself, in no time that could be measured: jaxlib 0.10.2 cannot read back all that libtpu 0.0.51 makes
    (SigLIP B/16 on v5p:8x8x16: "async-update instruction should have 1 operands but sees 3").
    """
    if platform != "tpu":
        compiled = lowered.compile(compiler_options=dict(options))
        return Program(compiled, compiled.as_text() or "")
    with tempfile.TemporaryDirectory() as folder:
        compiled = lowered.compile(compiler_options={**options, "xla_dump_to": folder, "xla_dump_hlo_as_text": True})
        written = sorted(Path(folder).glob(LAST), key=lambda path: path.stat().st_size)
        return Program(compiled, written[-1].read_text() if written else compiled.as_text() or "")
