"""Which libraries decide what a run sees: pixels and token ids may change with their versions."""

from __future__ import annotations

import importlib.metadata

from .decode_fast import image_versions
from .spec import DataSpec

FAST = {"simplejpeg": "simplejpeg", "cykooz": "cykooz-resizer"}  # backend or resizer -> package
OF_KIND = {"clip_bpe": ("tokenizers",), "huggingface": ("tokenizers",), "sentencepiece": ("sentencepiece",)}
OF_PRESET = {"siglip2": ("tokenizers",)}  # its lower case


def libraries(spec: DataSpec) -> dict[str, str]:
    """Package -> version, of those that make the samples of a run with these settings."""
    kind, preset = spec.tokenizer.kind, spec.tokenizer.preset
    mends = spec.caption.clean == "clip" or (kind == "clip_bpe" and preset != "clip_hf")
    of_text = {*OF_KIND[kind], *OF_PRESET.get(preset or "", ()), *(("ftfy",) if mends else ())}
    of_images = {"pillow", *(FAST[name] for name in (spec.decode.backend, spec.decode.resizer) if name in FAST)}
    installed = image_versions()
    return {
        **{name: installed[name] for name in sorted(of_images)},
        **{name: importlib.metadata.version(name) for name in sorted(of_text)},
    }
