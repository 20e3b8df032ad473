"""`config.json` of an exported model: all that its use needs to know beside weights and tokenizer."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...schema import build, to_dict
from ..spec import ModelSpec

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
FORMAT = "diptych-encoder"
VERSION = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Origin:
    """The training that a model comes from.

    recipe: its name. hash: of its identity. manifest: fingerprint of the training shards. steps, samples: trained on. params: `raw`, or
    `ema` where the weights are the moving average.
    """

    recipe: str
    hash: str
    manifest: str
    steps: int
    samples: int
    params: str = "raw"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """image_size, resize, interpolation, resize_size: the evaluation transform (`data/transforms.py`: `evaluation`), a preset's in full;
    mean and std are in `model.image`. exif: as in `DecodeSpec`.

    tokenizer, tokenizer_preset: its kind and preset; tokenizer_file: its file in the folder. The context length is the text tower's.
    """

    model: ModelSpec
    image_size: int
    resize: str
    interpolation: str = "bicubic"
    resize_size: int | None = None
    exif: str = "ignore"
    tokenizer: str
    tokenizer_file: str
    tokenizer_preset: str | None = None
    origin: Origin


def write_config(folder: Path, config: ExportConfig) -> None:
    """Writes `config.json`."""
    content = {"format": FORMAT, "version": VERSION, **to_dict(config)}
    (folder / CONFIG).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_config(folder: Path) -> ExportConfig:
    """The config of an exported model; UserError where the folder holds none, or one of another format or version."""
    path = folder / CONFIG
    content = _read(path)
    if content.pop("format", None) != FORMAT:
        raise UserError(f"{path} is not the config of an exported model; accepted is a folder that `diptych export` wrote")
    if (version := content.pop("version", None)) != VERSION:
        raise UserError(f"{path} has format version {version}; accepted is {VERSION}, which this version of diptych reads")
    return build(ExportConfig, content)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); accepted is a folder that `diptych export` wrote") from None
    except ValueError:
        content = None
    return content if isinstance(content, dict) else {}
