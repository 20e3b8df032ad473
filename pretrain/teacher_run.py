"""Which teacher the run in a folder learns from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..schema import to_dict
from .export.config import WEIGHTS, ExportConfig
from .run_folder import saved_steps, write_atomically
from .spec import Recipe
from .teacher_files import SETTING, read_teacher

FILE = "teacher.json"  # {"origin": of the exported model, "weights": SHA-256 of its file of them}


def keep_teacher(workdir: Path, recipe: Recipe) -> None:
    """Writes where the teacher comes from, which knows it wherever its folder lies."""
    config = read_teacher(recipe)
    if config is not None:
        write_atomically(workdir / FILE, json.dumps(_known(recipe, config), indent=1) + "\n")


def check_same_teacher(workdir: Path, recipe: Recipe) -> None:
    """Raises UserError where the run in the folder learnt from another: its checkpoints hold no teacher that would tell."""
    config, path = read_teacher(recipe), workdir / FILE
    if config is None or not path.is_file() or not saved_steps(workdir):
        return
    before, now = json.loads(path.read_text(encoding="utf-8")), _known(recipe, config)
    if any(now[part] != value for part, value in before.items()):  # earlier versions kept no `weights`
        origin, weights = before["origin"], before.get("weights")
        known = f"identity {origin['hash'][:12]}" + (f", weights {weights[:12]}" if weights else "")
        was = f"{origin['recipe']} after {origin['steps']} steps ({known})"
        raise UserError(
            f"{SETTING} = {recipe.objective.distillation.teacher} is not what the run in {workdir} learnt from, {was}; "
            "accepted is that teacher, or another --workdir"
        )


def _known(recipe: Recipe, config: ExportConfig) -> dict[str, Any]:
    """What tells a teacher from others. UserError where its weights are not there."""
    folder = recipe.objective.distillation.teacher
    try:
        with (Path(folder or "") / WEIGHTS).open("rb") as file:
            weights = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{SETTING} = {folder} cannot be read ({error}); accepted is a folder that `diptych export` wrote, whole") from None
    return {"origin": to_dict(config.origin), "weights": weights}
