"""All evaluations of a recipe: during training, and of a run folder."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from ..data.pipeline import EvalSet
from ..data.tokenizers import Tokenizer
from ..errors import UserError
from ..schema import to_dict
from ..sharding.mesh import make_mesh
from ..sharding.spec import MeshSpec
from .check_devices import check_devices
from .checkpoint import check_same_tokenizer, choose_step, restore_params
from .ema import RAW, evaluated
from .encode import Encoders, Params, make_encoders
from .evaluators.evaluator import Evaluator, Task
from .evaluators.registry import EVALUATORS
from .job import Job
from .learner import Learner, make_learner
from .metrics_table import COLUMNS, metrics_rows
from .results import numbers, write_json
from .run_folder import read_recipe
from .run_tokenizer import find_tokenizer
from .spec import EvalTaskSpec, Recipe
from .table import print_table
from .teacher import with_teacher
from .teacher_files import untaught
from .views import wanted_views
from .writers import append_metrics

FOLDER = "eval"


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The evaluations of one run, made once; `eval/STEP.json` is what it remembers.

    tasks: the settings of `eval.tasks` as plain values. kind: `ema` or `raw`, which of the parameters it is given. A step that was
    evaluated with others is evaluated again.
    """

    evaluators: Mapping[str, Evaluator]
    encoders: Encoders
    tasks: Mapping[str, Any]
    kind: str
    workdir: Path
    job: Job

    def __call__(self, params: Params, *, poll: Callable[[], None] = lambda: None) -> dict[str, float]:
        """`TASK/METRIC` -> value; under `jax.set_mesh`, by all processes. `poll` is called before every batch and may raise."""
        encoders = polled(self.encoders, poll)
        return {
            f"{task}/{name}": value for task, evaluator in self.evaluators.items() for name, value in evaluator(encoders, params).items()
        }

    def known(self, step: int) -> dict[str, float] | None:
        """What `remember` was told of a step with these tasks, else None; the same on all processes, which all call it."""
        return self.job.agree(lambda: self._read(step))

    def remember(self, step: int, metrics: Mapping[str, float]) -> None:
        """Process 0 writes `eval/STEP.json`."""
        if jax.process_index() == 0:
            path = self._path(step)
            path.parent.mkdir(exist_ok=True)
            write_json(path, {"step": step, "metrics": metrics, "tasks": self.tasks, "params": self.kind})

    def forget_after(self, step: int) -> None:
        """Removes evaluations of later steps than the one that a run resumes from: those steps come again."""
        for path in evaluations(self.workdir):
            if int(path.stem) > step:
                path.unlink(missing_ok=True)

    def _read(self, step: int) -> dict[str, float] | None:
        done = read_evaluation(self._path(step))
        same = done is not None and (done["tasks"], done.get("params", RAW)) == (self.tasks, self.kind)  # older runs have no average
        return done["metrics"] if done and same else None

    def _path(self, step: int) -> Path:
        return self.workdir / FOLDER / f"{step}.json"


def polled(encoders: Encoders, poll: Callable[[], None]) -> Encoders:
    """The encoders, with a call of `poll` before every batch."""

    def before(run: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            poll()
            return run(*args)

        return call

    return dataclasses.replace(
        encoders, encode_image=before(encoders.encode_image), encode_text=before(encoders.encode_text), loss=before(encoders.loss)
    )


def evaluations(workdir: Path) -> list[Path]:
    """The files `eval/STEP.json` of a run, by step."""
    return sorted((path for path in (workdir / FOLDER).glob("*.json") if path.stem.isdigit()), key=lambda path: int(path.stem))


def read_evaluation(path: Path) -> dict[str, Any] | None:
    """`{"step", "metrics", "tasks", "params"}` of an evaluation that was done, else None."""
    if not path.is_file():
        return None
    done = json.loads(path.read_text(encoding="utf-8"))
    return done | {"metrics": numbers(done["metrics"])}


def make_evaluation(learner: Learner, tokenizer: Tokenizer, *, workdir: Path, job: Job) -> Evaluation:
    """Opens the data of every task of the recipe; UserError names what is wrong with one, before any compile."""
    recipe = learner.recipe
    return Evaluation(
        evaluators={name: make_evaluator(name, spec, recipe, tokenizer) for name, spec in recipe.eval.tasks.items()},
        encoders=make_encoders(learner, batch_size=recipe.eval.batch_size),
        tasks={name: to_dict(spec) for name, spec in recipe.eval.tasks.items()},
        kind=evaluated(recipe),
        workdir=workdir,
        job=job,
    )


def make_evaluator(name: str, spec: EvalTaskSpec, recipe: Recipe, tokenizer: Tokenizer) -> Evaluator:
    """One entry of `eval.tasks`."""
    if "/" in name:
        raise UserError(f"eval.tasks has {name!r}, and metrics are called TASK/METRIC; accepted are names of tasks without a slash")
    if spec.kind not in EVALUATORS:
        raise UserError(f"eval.tasks.{name}.kind = {spec.kind!r} is unknown; accepted are {', '.join(EVALUATORS)}")
    tokenize = functools.partial(tokenizer, context_length=recipe.model.text.context_length)
    samples = EvalSet(spec.data, spec=recipe.data, setting=f"eval.tasks.{name}.data")
    task = Task(
        name=name,
        spec=spec,
        samples=samples,
        tokenize=tokenize,
        image_size=recipe.data.image_size,
        views=wanted_views(recipe),
        label_key=recipe.data.label_key,
    )
    return EVALUATORS[spec.kind](task)


def evaluation_mesh(recipe: Recipe, device_count: int) -> MeshSpec:
    """The recipe's mesh where it fits the devices, else as many devices as divide every batch, each with a copy of the model."""
    try:
        return check_devices(recipe, device_count=device_count)
    except UserError:
        negatives = [task.negatives for task in recipe.eval.tasks.values() if task.kind == "loss"]
        return MeshSpec(replica=math.gcd(device_count, recipe.eval.batch_size, *negatives), fsdp=1)


def evaluate_run(workdir: Path, *, step: int | None = None) -> dict[str, float]:
    """Evaluates a checkpoint of a run (the newest where `step` is absent) and prints the table; returns `TASK/METRIC` -> value.

    What was not known yet is added to the run's `eval/` and `metrics.jsonl`.
    """
    recipe, job = read_recipe(workdir), Job()
    if not any(task.kind == "loss" for task in recipe.eval.tasks.values()):
        recipe = untaught(recipe)
    mesh = make_mesh(evaluation_mesh(recipe, jax.device_count()))
    learner, tokenizer = make_learner(recipe, mesh), find_tokenizer(workdir, recipe.data.tokenizer)
    evaluation = make_evaluation(learner, tokenizer, workdir=workdir, job=job)
    with jax.set_mesh(mesh):
        chosen = job.agree(lambda: choose_step(workdir, step))
        check_same_tokenizer(workdir, tokenizer, step=chosen)
        metrics = evaluation.known(chosen)
        if metrics is None:
            metrics = evaluation(with_teacher(learner, restore_params(workdir, learner, step=chosen)[1]))
            if jax.process_index() == 0:
                append_metrics(workdir, chosen, metrics)
            evaluation.remember(chosen, metrics)
    if jax.process_index() == 0:
        print_table(COLUMNS, metrics_rows(metrics), title=f"{recipe.name or workdir.name}, step {chosen}")
    return metrics
