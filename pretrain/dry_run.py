"""All that a run judges before it compiles, and nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path

import jax

from .checkpoint import SavedCheckpoints
from .failures import Failures
from .job import Job
from .run import prepare, read_drawn
from .run_folder import saved_steps
from .spec import Recipe


def dry_run(recipe: Recipe, workdir: Path | None, *, force_data: bool = False) -> None:
    """Raises UserError where `train` would before it restores or compiles. workdir: is not touched; None: of a run that begins.

    The devices are those of this job, and the data are opened as a run opens them, which keeps what it finds in the user's cache alone.
    """
    with Failures(), tempfile.TemporaryDirectory() as empty:
        folder = workdir or Path(empty)
        run = prepare(recipe, folder, job=Job(), force_data=force_data)
        if steps := saved_steps(folder):
            with jax.set_mesh(run.mesh), SavedCheckpoints(folder) as checkpoints:
                read_drawn(run, checkpoints, steps[-1], force_data=force_data)
