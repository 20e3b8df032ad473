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
RECIPE = "recipe.json"  # of a run
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


def read_config(folder: Path, *, setting: str = "path") -> ExportConfig:
    """The config of an exported model; UserError where the folder holds none, or one of another format or version.

    setting: what the folder is called where the user gives it.
    """
    content = _read(folder, setting)
    if content.pop("format", None) != FORMAT:
        raise not_exported(folder, f"holds no exported model ({CONFIG} is of something else)", setting=setting)
    if (version := content.pop("version", None)) != VERSION:
        raise UserError(
            f"{setting} = {folder} has format version {version} in its {CONFIG}; accepted is {VERSION}, which this version of diptych reads"
        )
    try:
        return build(ExportConfig, content)
    except (UserError, TypeError) as error:  # of another version of diptych, or changed by hand
        raise UserError(f"{setting} = {folder} has a {CONFIG} in which {error}") from None


def not_exported(folder: Path, why: str, *, setting: str) -> UserError:
    """The answer to a folder that is no exported model, or a broken one; where it is a run's, it says how to make one of that."""
    made = f", and `diptych export --workdir {folder} --out OUT` makes one of this run" if (folder / RECIPE).is_file() else ""
    return UserError(f"{setting} = {folder} {why}; accepted is a folder that `diptych export` wrote{made}")


def _read(folder: Path, setting: str) -> dict[str, Any]:
    try:
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except OSError as error:
        reason = f"holds no exported model ({CONFIG}: {error.strerror})" if folder.is_dir() else f"cannot be read ({error.strerror})"
        raise not_exported(folder, reason, setting=setting) from None
    except ValueError:
        content = None
    return content if isinstance(content, dict) else {}
