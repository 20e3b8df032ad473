"""What must hold of a recipe's evaluations, of the metric that sweeps compare, and of where metrics go."""

from __future__ import annotations

from ..errors import UserError
from ..nearest import meant, unknown_value
from .check_unused import NESTED
from .spec import EvalTaskSpec, Recipe

METRICS = {  # of each kind of evaluation, without those that say what chance would give
    "loss": ("loss",),
    "retrieval": tuple(f"{way}_{what}" for way in ("i2t", "t2i") for what in ("r1", "r5", "r10", "median_rank")),
    "zero_shot": ("top1", "top5"),
}
WRITERS = ("jsonl", "tensorboard", "wandb")


def check_eval(recipe: Recipe) -> None:
    """Every task can be run as far as its settings go, the metric is of one of them, and metrics are written to known places."""
    for name, task in recipe.eval.tasks.items():
        _check_task(f"eval.tasks.{name}", task)
    _check_metric(recipe)
    for writer in recipe.log.writers:
        if writer not in WRITERS:
            raise UserError(f"log.writers has {writer!r}; accepted are {', '.join(WRITERS)}{meant(writer, WRITERS)}")


def _check_metric(recipe: Recipe) -> None:
    """`eval.metric` is what one of the tasks will measure, as far as that can be known before its data are read."""
    metric, tasks = recipe.eval.metric, recipe.eval.tasks
    if metric is None:
        return
    task, _, name = metric.partition("/")
    if not name or task not in tasks:
        raise UserError(f"eval.metric = {metric!r} names no task; accepted is TASK/NAME with TASK of {', '.join(tasks) or 'eval.tasks'}")
    kind, classes = tasks[task].kind, tasks[task].class_names
    known = _losses(recipe) if kind == "loss" else METRICS[kind]
    if kind == "zero_shot" and len(classes) <= 5 and not classes[0].startswith("file:"):
        known = ("top1",)
    if name not in known:
        raise UserError(f"eval.metric = {metric!r} is nothing that {task} measures; accepted is {task}/ with one of {', '.join(known)}")


def _losses(recipe: Recipe) -> tuple[str, ...]:
    """Of the whole objective, of each of several terms, and of each nested width: `loss`, `loss/TERM`, `loss_WIDTH`, `loss_WIDTH/TERM`."""
    terms = [term for term, weight in recipe.objective.terms.items() if weight]
    nested = [term for term in terms if term in NESTED]
    named = [f"loss/{term}" for term in terms] if len(terms) > 1 else []
    for width in recipe.objective.matryoshka.widths:
        named += [f"loss_{width}/{term}" for term in nested] if len(nested) > 1 else [f"loss_{width}"]
    return ("loss", *named)


def _check_task(path: str, task: EvalTaskSpec) -> None:
    if task.kind not in METRICS:
        raise unknown_value(f"{path}.kind", task.kind, METRICS)
    if not task.data:
        raise UserError(f"{path}.data is empty; accepted are one or more shard patterns")
    if task.negatives < 1:
        raise UserError(f"{path}.negatives = {task.negatives} is out of range; accepted is a number above 0")
    if task.kind != "zero_shot":
        return
    if not task.class_names:
        raise UserError(f"{path}.class_names is empty; accepted are the names in order, or file:PATH with a line each")
    for template in task.templates:
        if "{}" not in template and not template.startswith("file:"):
            raise UserError(f"{path}.templates has {template!r} without a {{}} for the name; accepted are prompts with {{}}, or file:PATH")
    if not task.templates:
        raise UserError(f"{path}.templates is empty; accepted are prompts with {{}}, or file:PATH")
