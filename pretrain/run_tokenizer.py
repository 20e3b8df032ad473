"""The tokenizer of a run: its file is kept in the run folder, where it is found when the place that the recipe names is not."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
from pathlib import Path

from ..data.spec import TokenizerSpec
from ..data.tokenizers import Tokenizer, load_tokenizer
from .run_folder import read_recipe

LOG = logging.getLogger("diptych")
FOLDER = "tokenizer"


def keep_tokenizer(workdir: Path, tokenizer: Tokenizer) -> None:
    """Writes the tokenizer's file into `tokenizer/`, whole; what else is in there goes."""
    folder, part = workdir / FOLDER, workdir / f"{FOLDER}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    written = tokenizer.save(part)
    folder.mkdir(exist_ok=True)
    os.replace(written, folder / written.name)
    shutil.rmtree(part)
    for other in set(folder.iterdir()) - {folder / written.name}:
        other.unlink()


def find_tokenizer(workdir: Path, spec: TokenizerSpec) -> Tokenizer:
    """The tokenizer that `spec` names; the copy of the run in `workdir` where it was trained with `spec` and that place is not reached.

    So a relative `data.tokenizer.path` is found from any folder, and CLIP's merges are not fetched again. Raises UserError as
    `load_tokenizer`.
    """
    if spec.path is not None and Path(spec.path).exists():
        return load_tokenizer(spec)
    kept = sorted((workdir / FOLDER).glob("*"))
    if not kept or read_recipe(workdir).data.tokenizer != spec:
        return load_tokenizer(spec)
    LOG.info("data.tokenizer.path = %s: taking the run's own copy, %s", spec.path or "none", kept[0])
    return load_tokenizer(dataclasses.replace(spec, path=str(kept[0])))
