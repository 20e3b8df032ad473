"""The text of a compiled step's HLO."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

LAST = "*after_codegen.txt"  # of libtpu's dumps, the one that `as_text` would have read


def compiled_text(lowered: jax.stages.Lowered, compiled: jax.stages.Compiled, *, options: Mapping[str, Any]) -> str:
    """What `compiled` is, which `lowered` was compiled to with `options`.

    jaxlib 0.10.2 cannot read back all that libtpu 0.0.51 makes (SigLIP B/16 on v5p:8x8x16: "async-update instruction should have 1 operands
    but sees 3"): then libtpu compiles it again and writes it down itself.
    """
    try:
        return compiled.as_text() or ""
    except jax.errors.JaxRuntimeError:
        with tempfile.TemporaryDirectory() as folder:
            lowered.compile(compiler_options={**options, "xla_dump_to": folder, "xla_dump_hlo_as_text": True})
            written = sorted(Path(folder).glob(LAST), key=lambda path: path.stat().st_size)
            if not written:
                raise
            return written[-1].read_text()
