"""Which frozen towers the run in a folder has: `train.init`, which they came from, is no part of its identity."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import UserError
from ..sharding.layouts import named_leaves
from .export.config import WEIGHTS
from .init_weights import open_weights, tower_fingerprint
from .learner import Learner
from .optimizers.names import matches
from .run_folder import saved_steps, write_atomically
from .spec import Recipe

FILE = "frozen.json"  # {"image" or "text": `tower_fingerprint`, or null where a part of the tower was fresh}


def keep_frozen(workdir: Path, recipe: Recipe, learner: Learner) -> None:
    """Writes what the frozen towers are of a run that begins; one that goes on has them in its checkpoints."""
    if saved_steps(workdir):
        return
    towers, given = frozen_towers(learner), given_towers(recipe, learner)
    (workdir / FILE).unlink(missing_ok=True)  # of a run that ended before its first checkpoint
    if towers:
        known = {tower: tower_fingerprint(open_weights(recipe), tower) if tower in given else None for tower in towers}
        write_atomically(workdir / FILE, json.dumps(known, indent=1) + "\n")


def check_same_frozen(workdir: Path, recipe: Recipe, learner: Learner) -> None:
    """Raises UserError where a frozen tower of the run in the folder is not that of `train.init`, which `data.embeddings` is compared with.

    Without `data.embeddings` the checkpoint's towers are all that is read, and the model of `train.init` may be gone.
    """
    if recipe.train.init.path is None or not (workdir / FILE).is_file() or not saved_steps(workdir):
        return
    if recipe.data.embeddings is None and not (Path(recipe.train.init.path) / WEIGHTS).is_file():
        return
    weights, known = open_weights(recipe), json.loads((workdir / FILE).read_text(encoding="utf-8"))
    for tower in sorted(known.keys() & given_towers(recipe, learner)):
        has, was = tower_fingerprint(weights, tower), known[tower]
        if has != was:
            theirs = "which was in part fresh" if was is None else was[:12]
            other = "" if recipe.data.embeddings is not None else "train.init.path = none, "
            raise UserError(
                f"train.init.path = {recipe.train.init.path} holds another {tower} tower (fingerprint {has[:12]}) than the frozen one of "
                f"the run in {workdir}, {theirs}; accepted is {other}the model that the run started from, or another --workdir"
            )


def frozen_towers(learner: Learner) -> set[str]:
    """The towers of which no parameter is trained."""
    return {tower for tower, names in _names(learner).items() if not any(names.values())}


def given_towers(recipe: Recipe, learner: Learner) -> set[str]:
    """The towers of which every parameter starts from `train.init`, where the recipe has that."""
    return {tower for tower, names in _names(learner).items() if all(matches(name, recipe.train.init.parameters) for name in names)}


def _names(learner: Learner) -> dict[str, dict[str, bool]]:
    """The names of each tower's parameters, and which of them are trained."""
    which = named_leaves(learner.trained)
    return {tower: {name: free for name, free in which.items() if name.startswith(f"model.{tower}.")} for tower in ("image", "text")}
