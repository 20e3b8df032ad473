"""The folder of a teacher: whether what is in it goes with the recipe of the student."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from safetensors import SafetensorError, safe_open

from ..data.tokenizers import Tokenizer
from ..errors import UserError
from .check_distillation import LOGITS, distils
from .export.config import WEIGHTS, ExportConfig, not_exported, read_config
from .export.encoder import check_weights
from .export.scales import scale_name
from .export.tokenizer import exported_tokenizer
from .spec import ModelSpec, Recipe

SETTING = "objective.distillation.teacher"


def read_teacher(recipe: Recipe) -> ExportConfig | None:
    """What the teacher of the recipe is; None where no term learns from one. UserError where its folder is none that `export` wrote."""
    folder = recipe.objective.distillation.teacher
    if folder is None or not distils(recipe):
        return None
    return read_config(Path(folder), setting=SETTING)


def untaught(recipe: Recipe) -> Recipe:
    """The recipe for those who need its model alone: no folder of a teacher is read."""
    distillation = dataclasses.replace(recipe.objective.distillation, teacher=None)
    return dataclasses.replace(recipe, objective=dataclasses.replace(recipe.objective, distillation=distillation))


def teacher_of(recipe: Recipe, *, tensor: int) -> ModelSpec | None:
    """The teacher's towers, read from its config; UserError where they cannot read what the student reads, or not on this mesh.

    tensor: size of the mesh axis.
    """
    config = read_teacher(recipe)
    if config is None:
        return None
    model, student, data = config.model, recipe.model, recipe.data
    wanted = recipe.objective.distillation.teacher_dim or student.embed_dim
    for what, has, setting, needs in (
        ("images of so many pixels", config.image_size, "data.image_size", data.image_size),
        ("captions of so many tokens", model.text.context_length, "model.text.context_length", student.text.context_length),
        ("an embedding of so many numbers", model.embed_dim, "objective.distillation.teacher_dim", wanted),
    ):
        if has != needs:
            raise _unfit(recipe, f"has {what}: {has}, and {setting} = {needs}; accepted is {setting} = {has}, or another teacher")
    schedule = data.size_schedule
    if schedule is not None and schedule.patch_size != model.image.patch_size:
        patch = f"{model.image.patch_size}, and data.size_schedule.patch_size = {schedule.patch_size}"
        raise _unfit(recipe, f"has patches of so many pixels: {patch}; accepted is a teacher with those, or no schedule")
    whole = (model.text.attention, model.text.pool) != ("causal", "eos")  # reads a caption's last places, which may be cut
    for setting, cuts in (("text_lengths", data.text_lengths), ("text_schedule", data.text_schedule)):
        if whole and cuts:
            raise _unfit(recipe, f"reads captions to their last place, and data.{setting} = {cuts} cuts them; accepted is none")
    for heads in (model.image.heads, model.text.heads, model.image.pool_heads or model.image.heads):
        if heads % tensor:
            raise _unfit(recipe, f"has {heads} heads, which mesh.tensor = {tensor} does not divide; accepted is a divisor")
    return model


def check_teacher(recipe: Recipe, tokenizer: Tokenizer, *, shapes: Any) -> None:
    """Raises UserError where the teacher's weights are not there in full, or where it was trained with other token ids.

    tokenizer: the student's. shapes: of the learner's parameters.
    """
    config = read_teacher(recipe)
    if config is None:
        return
    folder = Path(recipe.objective.distillation.teacher or "")
    theirs = exported_tokenizer(folder, config, setting=SETTING)
    try:
        with safe_open(folder / WEIGHTS, framework="numpy") as weights:
            stored = {name: jax.ShapeDtypeStruct(weights.get_slice(name).get_shape(), jnp.float32) for name in weights.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise not_exported(folder, f"is broken ({WEIGHTS}: {error})", setting=SETTING) from None
    check_weights(shapes["teacher"]["towers"], stored, where=f"{SETTING} = {folder}, {WEIGHTS}")
    if theirs.fingerprint != tokenizer.fingerprint:
        raise _unfit(recipe, f"reads other token ids than data.tokenizer.path = {recipe.data.tokenizer.path}; accepted is its tokenizer")
    if recipe.objective.terms.get(LOGITS) and scale_name(stored) is None:
        raise _unfit(recipe, f"has no logit_scale, which objective.terms.{LOGITS} reads; accepted is one with a contrastive term")


def _unfit(recipe: Recipe, why: str) -> UserError:
    return UserError(f"{SETTING} = {recipe.objective.distillation.teacher} {why}")
