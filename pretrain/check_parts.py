"""The longer checks of a recipe: its objective, its evaluations, and the lengths to which captions may be cut."""

from __future__ import annotations

import itertools

from ..errors import UserError
from ..nearest import meant, unknown_value
from .check_captioning import check_captioning
from .check_mixing import check_mixing
from .check_unused import NESTED
from .spec import EvalTaskSpec, Recipe

TERMS = (
    *("captioning", "cyclip", "distillation_embedding", "distillation_logits", "distillation_similarity"),
    *("m2mix", "mochi", "self_supervised", "sigmoid", "softmax", "unicl"),
)
METRICS = {  # of each kind of evaluation, without those that say what chance would give
    "loss": ("loss",),
    "retrieval": tuple(f"{way}_{what}" for way in ("i2t", "t2i") for what in ("r1", "r5", "r10", "median_rank")),
    "zero_shot": ("top1", "top5"),
}
WRITERS = ("jsonl", "tensorboard", "wandb")


def check_objective(recipe: Recipe) -> None:
    """Terms are known, weigh something, and the model has what they need."""
    objective = recipe.objective
    for name, weight in objective.terms.items():
        if name not in TERMS:
            raise UserError(f"objective.terms.{name} is not a term; accepted are {', '.join(TERMS)}{meant(name, TERMS)}")
        if not 0 <= weight < float("inf"):
            raise UserError(f"objective.terms.{name} = {weight} is out of range; accepted is a number from 0")
    if not any(objective.terms.values()):
        raise UserError(f"objective.terms = {dict(objective.terms)} has no weight above 0; accepted is at least one of {', '.join(TERMS)}")
    if objective.scale == "learnt" and objective.max_scale is not None and objective.init_scale > objective.max_scale:
        raise UserError(
            f"objective.init_scale = {objective.init_scale} is above objective.max_scale = {objective.max_scale}; accepted is at most that"
        )
    _check_matryoshka(recipe)
    check_mixing(recipe)
    check_captioning(recipe)


def _check_matryoshka(recipe: Recipe) -> None:
    """Nested widths rise and are below the whole; weights are as many."""
    nested, embed_dim = recipe.objective.matryoshka, recipe.model.embed_dim
    widths, weights = len(nested.widths), len(nested.weights)
    if not all(narrower < wider for narrower, wider in itertools.pairwise(nested.widths)):
        raise UserError(f"objective.matryoshka.widths = {nested.widths} does not rise; accepted are rising numbers below {embed_dim}")
    if nested.widths and nested.widths[-1] >= embed_dim:
        raise UserError(
            f"objective.matryoshka.widths = {nested.widths} is not below model.embed_dim = {embed_dim}, which is trained anyway; "
            f"accepted are rising numbers below {embed_dim}"
        )
    if weights and not widths:
        raise UserError(
            f"objective.matryoshka.weights = {nested.weights} are of objective.matryoshka.widths, which is empty; accepted is an empty list"
        )
    if weights not in (0, widths):
        raise UserError(
            f"objective.matryoshka.weights = {nested.weights} has {weights} for the {widths} of objective.matryoshka.widths = "
            f"{nested.widths}; accepted is one for each, or an empty list, by which each weighs 1"
        )


def check_text_lengths(recipe: Recipe) -> None:
    """Cutting a batch's captions changes no number for causal text that is read at its end token, and for no other."""
    lengths, text = recipe.data.text_lengths, recipe.model.text
    if not lengths:
        return
    if text.attention != "causal" or text.pool != "eos":
        raise UserError(
            f"data.text_lengths = {lengths} needs model.text.attention = causal and model.text.pool = eos, "
            f"not {text.attention} and {text.pool}; accepted is an empty list, --config.data.text_lengths=[]"
        )
    rising = all(shorter < longer for shorter, longer in itertools.pairwise(lengths))
    if lengths[0] < 1 or not rising or lengths[-1] != text.context_length:
        raise UserError(
            f"data.text_lengths = {lengths} does not rise to model.text.context_length = {text.context_length}; "
            f"accepted are rising lengths of which the last is {text.context_length}"
        )


def check_tokenizer(recipe: Recipe, *, vocab_size: int, eos_id: int, pad_id: int) -> None:
    """A tokenizer of `vocab_size` tokens has a row for each in the token table, and ends and pads captions as the model reads them."""
    text, path = recipe.model.text, recipe.data.tokenizer.path
    if vocab_size > text.vocab_size:
        raise UserError(
            f"model.text.vocab_size = {text.vocab_size} is less than the {vocab_size} tokens of data.tokenizer.path = {path}; "
            f"accepted is {vocab_size} or more"
        )
    reads_the_end = text.pool in ("eos", "cls") or recipe.objective.terms.get("captioning")
    if reads_the_end and eos_id != text.eos_id:
        raise UserError(
            f"model.text.eos_id = {text.eos_id} is not the end token of data.tokenizer.path = {path}, which is {eos_id}; "
            f"accepted is {eos_id}"
        )
    if text.attention == "bidirectional_masked" and pad_id != text.pad_id:
        raise UserError(
            f"model.text.pad_id = {text.pad_id} is not the padding of data.tokenizer.path = {path}, which is {pad_id}; accepted is {pad_id}"
        )


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
