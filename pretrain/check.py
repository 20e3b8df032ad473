"""What must hold between the settings of a recipe, judged without devices and without files."""

from __future__ import annotations

from functools import reduce
from typing import Any

from ..errors import UserError
from ..nearest import unknown_value
from ..sharding.presets import is_open
from .check_data import check_data
from .check_distillation import check_distillation
from .check_embeddings import check_embeddings
from .check_eval import check_eval
from .check_images import check_images
from .check_labels import check_labels
from .check_numbers import check_numbers
from .check_objective import check_objective
from .check_optimizer import check_optimizer
from .check_padding import check_padding
from .check_schedules import check_schedules
from .check_text import check_text_lengths
from .check_train import check_train
from .check_unused import check_unused
from .check_views import check_views
from .spec import Recipe

CHOICES = {
    "model.image.pool": ("cls", "gap", "map", "attentional"),
    "model.image.projection": ("linear", "none"),
    "model.image.norm_first": ("layernorm", "none"),
    "model.image.activation": ("gelu", "gelu_tanh", "quick_gelu"),
    "model.image.init": ("clip", "big_vision"),
    "model.text.attention": ("causal", "bidirectional", "bidirectional_masked"),
    "model.text.pool": ("eos", "last", "cls"),
    "model.text.projection": ("linear", "linear_bias", "none"),
    "model.text.activation": ("gelu", "gelu_tanh", "quick_gelu"),
    "model.text.init": ("clip", "big_vision"),
    "objective.scale": ("learnt", "fixed"),
    "objective.form": ("auto", "gather", "chunked", "ring"),
    "objective.distillation.distance": ("mse", "cosine"),
    "data.order": ("auto", "exact", "block"),
    "data.resize": ("shortest", "squash"),
    "data.interpolation": ("bicubic", "bilinear"),
    "data.decode.backend": ("pillow", "pillow_draft", "simplejpeg"),
    "data.decode.resizer": ("pillow", "cykooz"),
    "data.decode.exif": ("ignore", "rotate"),
    "optimizer.name": ("adamw", "adafactor", "lion", "muon", "lamb"),
    "optimizer.schedule": ("cosine", "linear", "constant", "rsqrt"),
    "train.dtype": ("float32", "bfloat16"),
    "train.remat": ("none", "dots", "full", "auto"),
}


def check(recipe: Recipe) -> None:
    """Raises UserError for the first setting that cannot be trained with, naming its path, its value and what is accepted."""
    _check_choices(recipe)
    check_numbers(recipe)
    _check_model(recipe)
    check_optimizer(recipe.optimizer, steps=recipe.train.steps)
    _check_mesh(recipe)
    check_data(recipe.data)
    check_images(recipe)
    check_padding(recipe)
    check_schedules(recipe)
    check_embeddings(recipe)
    check_text_lengths(recipe)
    check_objective(recipe)
    check_labels(recipe)
    check_views(recipe)
    check_distillation(recipe)
    check_train(recipe)
    check_eval(recipe)
    check_unused(recipe)


def value_at(recipe: Recipe, path: str) -> Any:
    """The setting at a dotted path; None below a group that is absent."""
    return reduce(lambda part, name: None if part is None else getattr(part, name), path.split("."), recipe)


def _check_choices(recipe: Recipe) -> None:
    for path, choices in CHOICES.items():
        if (value := value_at(recipe, path)) not in choices:
            raise unknown_value(path, value, choices)


def _check_model(recipe: Recipe) -> None:
    model, image_size = recipe.model, recipe.data.image_size
    image, text, decoder = model.image, model.text, model.decoder
    if image_size % image.patch_size:
        raise UserError(
            f"data.image_size = {image_size} is not a multiple of model.image.patch_size = {image.patch_size}; accepted is a multiple"
        )
    pooled, pooled_path = (model.embed_dim, "model.embed_dim") if image.pool == "attentional" else (image.width, "model.image.width")
    pool_heads = "model.image.heads" if image.pool_heads is None else "model.image.pool_heads"
    divisions = [
        ("model.image.heads", image.heads, "model.image.width", image.width),
        ("model.text.heads", text.heads, "model.text.width", text.width),
    ]
    if image.pool in ("map", "attentional"):
        divisions.append((pool_heads, image.pool_heads or image.heads, pooled_path, pooled))
    if decoder is not None:
        divisions.append(("model.decoder.heads", decoder.heads, "model.text.width", text.width))
    for path, heads, width_path, width in divisions:
        if width % heads:
            raise UserError(f"{path} = {heads} does not divide {width_path} = {width}; accepted is a divisor of {width}")
    for path, projection, width_path, width in (
        ("model.image.projection", image.projection, pooled_path, pooled),
        ("model.text.projection", text.projection, "model.text.width", text.width),
    ):
        if projection == "none" and width != model.embed_dim:
            raise UserError(f"{path} = none needs {width_path} = {width} to equal model.embed_dim = {model.embed_dim}; accepted is linear")
    if text.eos_id >= text.vocab_size:
        raise UserError(
            f"model.text.eos_id = {text.eos_id} is outside of the vocabulary; accepted is below model.text.vocab_size = {text.vocab_size}"
        )
    if not 0 <= image.patch_dropout < 1:
        raise UserError(f"model.image.patch_dropout = {image.patch_dropout} is out of range; accepted is a number from 0 to below 1")
    if min(image.std) <= 0:
        raise UserError(f"model.image.std = {image.std} is out of range; accepted are three numbers above 0")


def _check_mesh(recipe: Recipe) -> None:
    mesh = (recipe.mesh.replica, recipe.mesh.fsdp, recipe.mesh.tensor)
    for name, size in zip(("replica", "fsdp", "tensor"), mesh):
        if size < 1 and size != -1:
            raise UserError(f"mesh.{name} = {size} is out of range; accepted is a number above 0, or -1 for what the others leave")
    if mesh.count(-1) > 1 and not is_open(recipe.mesh):
        raise UserError(f"mesh = {mesh} has -1 more than once; accepted is one -1, or replica and fsdp = -1 for the hardware's preset")
