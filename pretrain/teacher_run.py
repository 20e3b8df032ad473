"""Which teacher the run in a folder learns from."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import UserError
from ..schema import to_dict
from .run_folder import saved_steps, write_atomically
from .spec import Recipe
from .teacher_files import SETTING, read_teacher

FILE = "teacher.json"  # {"origin": of the exported model}


def keep_teacher(workdir: Path, recipe: Recipe) -> None:
    """Writes where the teacher comes from, which knows it wherever its folder lies."""
    config = read_teacher(recipe)
    if config is not None:
        write_atomically(workdir / FILE, json.dumps({"origin": to_dict(config.origin)}, indent=1) + "\n")


def check_same_teacher(workdir: Path, recipe: Recipe) -> None:
    """Raises UserError where the run in the folder learnt from another: its checkpoints hold no teacher that would tell."""
    config, path = read_teacher(recipe), workdir / FILE
    if config is None or not path.is_file() or not saved_steps(workdir):
        return
    before, now = json.loads(path.read_text(encoding="utf-8"))["origin"], to_dict(config.origin)
    if before != now:
        was = f"{before['recipe']} after {before['steps']} steps (identity {before['hash'][:12]})"
        raise UserError(
            f"{SETTING} = {recipe.objective.distillation.teacher} is not what the run in {workdir} learnt from, {was}; "
            "accepted is that teacher, or another --workdir"
        )
