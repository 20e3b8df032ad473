"""All evaluations of a recipe: during training, and of a run folder."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from ..data.pipeline import EvalSet
from ..data.tokenizers import Tokenizer, load_tokenizer
from ..errors import UserError
from ..schema import to_dict
from ..sharding.mesh import make_mesh
from ..sharding.spec import MeshSpec
from .checkpoint import restore_params
from .encode import Encoders, Params, make_encoders
from .evaluators.evaluator import Evaluator, Task
from .evaluators.registry import EVALUATORS
from .learner import Learner, make_learner
from .metrics_table import metrics_table
from .recipe import check_devices
from .run_folder import read_recipe, write_atomically
from .spec import EvalTaskSpec, Recipe

FOLDER = "eval"


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The evaluations of one run, made once; `eval/STEP.json` is what it remembers.

    tasks: the settings of `eval.tasks` as plain values: a step that was evaluated with others is evaluated again.
    """

    evaluators: Mapping[str, Evaluator]
    encoders: Encoders
    tasks: Mapping[str, Any]
    workdir: Path

    def __call__(self, params: Params, *, step: int) -> dict[str, float]:
        """`TASK/METRIC` -> value; under `jax.set_mesh`, by all processes. What was evaluated before is read, not computed."""
        path = self.workdir / FOLDER / f"{step}.json"
        if (done := read_evaluation(path)) and done["tasks"] == self.tasks:
            return done["metrics"]
        metrics = {
            f"{task}/{name}": value
            for task, evaluator in self.evaluators.items()
            for name, value in evaluator(self.encoders, params).items()
        }
        if jax.process_index() == 0:
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, json.dumps({"step": step, "metrics": metrics, "tasks": self.tasks}, indent=1) + "\n")
        return metrics

    def forget_after(self, step: int) -> None:
        """Removes evaluations of later steps than the one that a run resumes from: those steps come again."""
        if jax.process_index() == 0:
            for path in evaluations(self.workdir):
                if int(path.stem) > step:
                    path.unlink(missing_ok=True)


def evaluations(workdir: Path) -> list[Path]:
    """The files `eval/STEP.json` of a run, by step."""
    return sorted((path for path in (workdir / FOLDER).glob("*.json") if path.stem.isdigit()), key=lambda path: int(path.stem))


def read_evaluation(path: Path) -> dict[str, Any] | None:
    """`{"step", "metrics", "tasks"}` of an evaluation that was done, else None."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def make_evaluation(learner: Learner, tokenizer: Tokenizer, *, workdir: Path) -> Evaluation:
    """Opens the data of every task of the recipe; UserError names what is wrong with one, before any compile."""
    recipe = learner.recipe
    return Evaluation(
        evaluators={name: make_evaluator(name, spec, recipe, tokenizer) for name, spec in recipe.eval.tasks.items()},
        encoders=make_encoders(learner, batch_size=recipe.eval.batch_size),
        tasks={name: to_dict(spec) for name, spec in recipe.eval.tasks.items()},
        workdir=workdir,
    )


def make_evaluator(name: str, spec: EvalTaskSpec, recipe: Recipe, tokenizer: Tokenizer) -> Evaluator:
    """One entry of `eval.tasks`."""
    if spec.kind not in EVALUATORS:
        raise UserError(f"eval.tasks.{name}.kind = {spec.kind!r} is unknown; accepted are {', '.join(EVALUATORS)}")
    tokenize = functools.partial(tokenizer, context_length=recipe.model.text.context_length)
    samples = EvalSet(spec.data, spec=recipe.data, setting=f"eval.tasks.{name}.data")
    return EVALUATORS[spec.kind](Task(name=name, spec=spec, samples=samples, tokenize=tokenize, image_size=recipe.data.image_size))


def evaluation_mesh(recipe: Recipe, device_count: int) -> MeshSpec:
    """The recipe's mesh where it fits the devices, else as many devices as divide every batch, each with a copy of the model."""
    try:
        return check_devices(recipe, device_count=device_count)
    except UserError:
        negatives = [task.negatives for task in recipe.eval.tasks.values() if task.kind == "loss"]
        return MeshSpec(replica=math.gcd(device_count, recipe.eval.batch_size, *negatives), fsdp=1)


def evaluate_run(workdir: Path, *, step: int | None = None) -> dict[str, float]:
    """Evaluates a checkpoint of a run (the newest where `step` is absent) and prints the table; returns `TASK/METRIC` -> value."""
    recipe = read_recipe(workdir)
    mesh = make_mesh(evaluation_mesh(recipe, jax.device_count()))
    learner = make_learner(recipe, mesh)
    evaluation = make_evaluation(learner, load_tokenizer(recipe.data.tokenizer), workdir=workdir)
    with jax.set_mesh(mesh):
        found, params = restore_params(workdir, learner, step=step)
        metrics = evaluation(params, step=found)
    if jax.process_index() == 0:
        Console().print(metrics_table(metrics, title=f"{recipe.name or workdir.name}, step {found}"))
    return metrics
