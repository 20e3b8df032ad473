"""The tokenizer of an exported model."""

from __future__ import annotations

from pathlib import Path

from ...data.spec import TokenizerSpec
from ...data.tokenizers import Tokenizer, load_tokenizer
from .config import ExportConfig, not_exported


def exported_tokenizer(folder: Path, config: ExportConfig, *, setting: str) -> Tokenizer:
    """The tokenizer in the folder of a model; UserError where it is not there or broken. setting: what the folder is called."""
    file = folder / config.tokenizer_file
    if not file.is_file():
        raise not_exported(folder, f"is not whole ({config.tokenizer_file} is missing)", setting=setting)
    return load_tokenizer(TokenizerSpec(kind=config.tokenizer, path=str(file), preset=config.tokenizer_preset))
