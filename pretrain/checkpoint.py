"""Checkpoints: the one module that knows Orbax."""

from __future__ import annotations

import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import jax
from orbax.checkpoint import v1 as ocp

from ..data.tokenizers import Tokenizer
from ..errors import UserError
from ..sharding.axes import AnyMesh
from ..sharding.layouts import named_leaves, places
from .ema import AVERAGED, evaluated, to_evaluate
from .frozen import kept
from .learner import Learner
from .run_folder import CHECKPOINTS, saved_steps
from .spec import CheckpointSpec
from .state import TrainState
from .teacher import joined, of_teacher, without_teacher


def targets(shapes: Any, layouts: Any, mesh: AnyMesh) -> Any:
    """What a restore needs: shapes, dtypes and places, no arrays."""
    return jax.tree.map(lambda array, place: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=place), shapes, places(layouts, mesh))


class SavedCheckpoints:
    """The checkpoints of a run, for reading: nothing on disk is touched, so that a run may go on beside it.

    A checkpoint holds `params`, `optimizer` (with the step and what was skipped), `ema` where the run keeps an average, and as one JSON
    beside them the data's state, the recipe, its hash and the versions. All processes make every call, in the same order.

    A teacher's parameters never change, and are in the folder that the recipe names: no checkpoint holds them, and what is restored lacks
    them until `with_teacher`.
    """

    def __init__(self, workdir: Path):
        self._checkpointer = ocp.training.Checkpointer((workdir / CHECKPOINTS).absolute())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None) -> None:
        self._checkpointer.close()

    @property
    def latest(self) -> int | None:
        """The newest complete step, or None."""
        return None if self._checkpointer.latest is None else self._checkpointer.latest.step

    @property
    def steps(self) -> list[int]:
        """All complete steps, oldest first."""
        return sorted(checkpoint.step for checkpoint in self._checkpointer.checkpoints)

    def restore(self, step: int, *, shapes: TrainState, layouts: TrainState, mesh: AnyMesh) -> TrainState:
        """The train state on `mesh`, whatever mesh wrote it; UserError names the first leaf that does not fit."""
        items = items_of(targets(shapes, layouts, mesh))
        saved = self._checkpointer.checkpointables_metadata(step).metadata
        if "ema" in items and "ema" not in saved:
            raise UserError(f"train.ema_decay is set, and checkpoint {step} has no average of the parameters; accepted is none")
        if "ema" in saved and "ema" not in items:
            raise UserError(f"train.ema_decay is none, and checkpoint {step} has an average of the parameters; accepted is its decay")
        check_items(saved, items, step=step)
        loaded = self._checkpointer.load_checkpointables(step, items)
        optimizer = loaded["optimizer"]
        ema = None if shapes.ema is None else joined(loaded["ema"], of_teacher(shapes.ema))
        return TrainState(step=optimizer["step"], params=loaded["params"], opt=optimizer["opt"], skips=optimizer["skips"], ema=ema)

    def restore_params(self, step: int, learner: Learner, mesh: AnyMesh) -> Any:
        """The parameters that the recipe evaluates: themselves, or their average."""
        params = targets(learner.shapes, learner.layouts, mesh)
        items = {"params": without_teacher(params)}
        if evaluated(learner.recipe) == AVERAGED:
            items["ema"] = without_teacher(kept(params, learner.trained))
        saved = self._checkpointer.checkpointables_metadata(step).metadata
        if "ema" in items and "ema" not in saved:
            raise UserError(f"eval.params = ema, and checkpoint {step} has no average of the parameters; accepted is raw")
        check_items(saved, items, step=step)
        loaded = self._checkpointer.load_checkpointables(step, items)
        return to_evaluate(learner.recipe, params=loaded["params"], ema=loaded.get("ema"))

    def data(self, step: int) -> dict[str, Any]:
        """The JSON of what was drawn: `data.state.data_state`, with `bad`: `data.bad.BadCounts.state`."""
        return self._checkpointer.checkpointables_metadata(step).custom_metadata["data"]


class Checkpoints(SavedCheckpoints):
    """The checkpoints of the run that writes them: saved asynchronously, each complete or absent, kept as the recipe says."""

    def __init__(self, workdir: Path, spec: CheckpointSpec):
        policies = ocp.training.preservation_policies
        kept = [policies.LatestN(spec.keep_last)] + ([policies.EveryNSteps(spec.keep_every)] if spec.keep_every else [])
        self._checkpointer = ocp.training.Checkpointer(
            (workdir / CHECKPOINTS).absolute(), preservation_policy=policies.AnyPreservationPolicy(kept), cleanup_tmp_directories=True
        )

    def save(self, step: int, state: TrainState, *, data: dict[str, Any], metadata: dict[str, Any]) -> None:
        """Starts a save; returns when the arrays are copied, so that the next step may donate them. A failure surfaces at the next call."""
        self._checkpointer.save_checkpointables_async(step, items_of(state), force=True, custom_metadata={**metadata, "data": data})

    def wait(self) -> None:
        """Returns when every save is on disk."""
        self._checkpointer.wait()


def items_of(state: TrainState) -> dict[str, Any]:
    """The parts of a checkpoint, by name."""
    items = {"params": without_teacher(state.params), "optimizer": {"step": state.step, "opt": state.opt, "skips": state.skips}}
    return items if state.ema is None else {**items, "ema": without_teacher(state.ema)}


def check_items(saved: Mapping[str, Any], items: Mapping[str, Any], *, step: int) -> None:
    """`check_fits` of each of the items."""
    for name, wanted in items.items():
        check_fits(saved[name], wanted, what=f"checkpoint {step}, {name}")


def check_fits(saved: Any, wanted: Any, *, what: str) -> None:
    """Raises UserError that names the first leaf (in order of its path) that is missing, unknown, or of another shape or dtype."""
    have, want = named_leaves(saved), named_leaves(wanted)
    for name in sorted(have.keys() | want.keys()):
        if name not in have:
            raise UserError(f"{what}: leaf {name} {want[name].shape} is not in the checkpoint; accepted is a checkpoint of the same model")
        if name not in want:
            raise UserError(f"{what}: leaf {name} {have[name].shape} is unknown to this recipe; accepted is a checkpoint of the same model")
        if (tuple(have[name].shape), have[name].dtype) != (tuple(want[name].shape), want[name].dtype):
            raise UserError(
                f"{what}: leaf {name} is {have[name].dtype}{tuple(have[name].shape)}, where this recipe has "
                f"{want[name].dtype}{tuple(want[name].shape)}"
            )


def choose_step(workdir: Path, step: int | None) -> int:
    """The step of a run's checkpoint, the newest where `step` is absent; UserError where there is none."""
    steps = saved_steps(workdir)
    if not steps:
        raise UserError(f"--workdir = {workdir} holds no checkpoints; accepted is the folder of a run that has saved one")
    if step is not None and step not in steps:
        raise UserError(f"--step = {step} is not among the checkpoints of {workdir}; accepted are {', '.join(map(str, steps))}")
    return steps[-1] if step is None else step


def restore_params(workdir: Path, learner: Learner, *, step: int | None) -> tuple[int, Any]:
    """The parameters of a run's checkpoint (the newest where `step` is absent) on the learner's mesh, and its step."""
    chosen = choose_step(workdir, step)
    with SavedCheckpoints(workdir) as checkpoints:
        return chosen, checkpoints.restore_params(chosen, learner, learner.mesh)


def check_same_tokenizer(workdir: Path, tokenizer: Tokenizer, *, step: int) -> None:
    """Raises UserError where the run was trained with other ids: the file that `data.tokenizer.path` names was replaced since."""
    with SavedCheckpoints(workdir) as checkpoints:
        trained = checkpoints.data(step).get("tokenizer", tokenizer.fingerprint)  # absent: saved before it was kept
    if trained != tokenizer.fingerprint:
        raise UserError(
            f"data.tokenizer.path of the run in {workdir} is a tokenizer with fingerprint {tokenizer.fingerprint[:12]} now; "
            f"accepted is the one that it was trained with, {trained[:12]}"
        )
