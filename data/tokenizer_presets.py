"""Which kinds of tokenizer files there are, and as which released model's tokenizer each may be read."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import UserError
from ..nearest import unknown_value
from .spec import TokenizerSpec

# Preset -> the kinds that it goes with. What it is equal to:
PRESETS: Mapping[str, tuple[str, ...]] = {
    # open_clip's SimpleTokenizer, as OpenAI's: text mended by ftfy, entities resolved twice, `<end_of_text>` ends, padded with 0
    "clip_open_clip": ("clip_bpe",),
    # transformers' CLIPTokenizer: NFC, no ftfy and no entities, `<|endoftext|>` ends, padded with it
    "clip_hf": ("clip_bpe", "huggingface"),
    # transformers' SiglipTokenizer: lower case, no ASCII punctuation, `</s>` ends once, padded with it
    "siglip": ("sentencepiece",),
    # transformers' Siglip2Tokenizer: Gemma's pieces of lower-case text, `<eos>` ends, no start, padded with `<pad>`
    "siglip2": ("sentencepiece", "huggingface"),
    # transformers' BertTokenizer, as ALIGN has it: lower case without accents, [CLS] ... [SEP], padded with [PAD]
    "bert": ("huggingface",),
}
KINDS: Mapping[str, str] = {
    "clip_bpe": "CLIP's merges",
    "sentencepiece": "a model",
    "huggingface": "a tokenizer.json",
}


def check_tokenizer_spec(spec: TokenizerSpec) -> None:
    """Raises UserError: an unknown kind or preset, two that do not go together, or no path where nothing can be fetched."""
    kind, preset = spec.kind, spec.preset
    if kind not in KINDS:
        raise unknown_value("data.tokenizer.kind", kind, KINDS)
    if preset is not None and preset not in PRESETS:
        raise unknown_value("data.tokenizer.preset", preset, PRESETS)
    if preset is not None and kind not in PRESETS[preset]:
        raise UserError(
            f"data.tokenizer.preset = {preset} does not go with data.tokenizer.kind = {kind}; accepted is {' or '.join(PRESETS[preset])}"
        )
    if spec.path is None and kind != "clip_bpe":
        raise UserError(f"data.tokenizer.path = none does not go with data.tokenizer.kind = {kind}; accepted is the path of {KINDS[kind]}")
