"""The weights that a run starts from: an exported model's, for the parameters that `train.init.parameters` names."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open

from ..data.tokenizers import Tokenizer
from ..errors import UserError
from ..schema import identity
from ..sharding.layouts import named_leaves, path_name, places
from .export.config import WEIGHTS, ExportConfig, not_exported, read_config
from .export.tokenizer import exported_tokenizer
from .frozen import check_start
from .learner import Learner
from .optimizers.names import check_pattern, matches
from .spec import Recipe

SETTING = "train.init"
TEACHER = "teacher."  # parameters that come from a folder of their own
OF_TRAINING = ("patch_dropout", "init")  # settings of a tower that do not say what its weights compute


@dataclasses.dataclass(frozen=True)
class InitWeights:
    """An exported model, opened: `config` is read, of the weights only names and shapes are."""

    folder: Path
    config: ExportConfig
    shapes: dict[str, tuple[int, ...]]

    def read(self, name: str, index: tuple[slice, ...] = ()) -> np.ndarray:
        """float32: a parameter by its dotted name, or a part of it, of which alone the bytes are read."""
        with _opened(self.folder) as file:
            return np.asarray(file.get_slice(name)[index] if index else file.get_tensor(name), np.float32)


def open_weights(recipe: Recipe) -> InitWeights:
    """The model that `train.init.path` names; UserError where it is none."""
    folder = Path(recipe.train.init.path or "")
    config = read_config(folder, setting=f"{SETTING}.path")
    try:
        with _opened(folder) as file:
            names = file.keys()
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
    except (OSError, SafetensorError) as error:
        raise not_exported(folder, f"is broken ({WEIGHTS}: {error})", setting=f"{SETTING}.path") from None
    return InitWeights(folder=folder, config=config, shapes=shapes)


def find_weights(recipe: Recipe, learner: Learner, tokenizer: Tokenizer) -> tuple[InitWeights, frozenset[str]] | None:
    """The model that the recipe starts from and the names of the parameters that do, none of them read; None where all are fresh.

    Raises UserError as `check_init` and `check_start`.
    """
    if recipe.train.init.path is None:
        check_start(learner.trained, given=frozenset())
        return None
    weights = open_weights(recipe)
    chosen = check_init(recipe, learner, tokenizer, weights)
    check_start(learner.trained, given=chosen)
    return weights, chosen


def init_weights(recipe: Recipe, learner: Learner, tokenizer: Tokenizer) -> Any | None:
    """A tree of global arrays for the parameters that start from `train.init`, None at the fresh ones; None where there is no such setting.

    Each process reads what its devices hold. Raises UserError as `find_weights`.
    """
    found = find_weights(recipe, learner, tokenizer)
    if found is None:
        return None
    weights, chosen = found

    def given(path: tuple[Any, ...], shape: jax.ShapeDtypeStruct, place: jax.sharding.NamedSharding) -> jax.Array | None:
        name = path_name(path)
        if name not in chosen:
            return None
        return jax.make_array_from_callback(shape.shape, place, lambda index: weights.read(name, index or ()), dtype=shape.dtype)

    assert isinstance(learner.mesh, jax.sharding.Mesh)
    return jax.tree.map_with_path(given, learner.shapes, places(learner.layouts, learner.mesh))


def check_init(recipe: Recipe, learner: Learner, tokenizer: Tokenizer, weights: InitWeights) -> frozenset[str]:
    """The names of the parameters that start from `weights`.

    Raises UserError for a pattern that matches none, a parameter that the model lacks or has with another shape, a tower that computes
    otherwise (which shapes do not tell: heads, activation, normalisation of pixels), or another tokenizer.
    """
    patterns = recipe.train.init.parameters
    names = {name: shape for name, shape in named_leaves(learner.shapes).items() if not name.startswith(TEACHER)}
    for pattern in patterns:
        check_pattern(pattern, names, setting=f"{SETTING}.parameters")
    chosen = frozenset(name for name in names if matches(name, patterns))
    for part in ("image", "text", "decoder"):
        if any(name.startswith(f"model.{part}.") for name in chosen):
            _check_part(recipe, weights, part)
    for name in sorted(chosen):
        if weights.shapes.get(name) != names[name].shape:
            has = f"has it as {weights.shapes[name]}" if name in weights.shapes else "lacks it"
            raise UserError(
                f"{SETTING}.parameters = {patterns} names {name} {names[name].shape}, and {weights.folder} {has}; "
                "accepted are patterns of what both have alike"
            )
    if any(name.startswith("model.text.") for name in chosen):
        _check_tokenizer(tokenizer, weights)
    return chosen


def tower_fingerprint(weights: InitWeights, tower: str) -> str:
    """SHA-256 of all that decides what a tower (`image`, `text`) makes of its input: its settings and its parameters."""
    digest = hashlib.sha256(repr(list(_settings(getattr(weights.config.model, tower)))).encode())
    for name in sorted(name for name in weights.shapes if name.startswith(f"model.{tower}.")):
        digest.update(f"{name} {weights.shapes[name]}".encode())
        digest.update(np.ascontiguousarray(weights.read(name)).tobytes())
    return digest.hexdigest()


def _check_part(recipe: Recipe, weights: InitWeights, part: str) -> None:
    theirs = weights.config.model
    settings: list[tuple[str, Any, Any]] = [("model.embed_dim", recipe.model.embed_dim, theirs.embed_dim)]
    if part == "image":
        settings.append(("data.image_size", recipe.data.image_size, weights.config.image_size))
    ours, other = (dict(_settings(getattr(model, part))) for model in (recipe.model, theirs))
    settings += [(f"model.{part}.{name}", value, other.get(name)) for name, value in ours.items()]
    for path, value, wanted in settings:
        if value != wanted:
            raise UserError(f"{path} = {value} is {wanted} in {SETTING}.path = {weights.folder}; accepted is {wanted}")


def _settings(part: Any) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in ({} if part is None else identity(part)).items() if name not in OF_TRAINING)


def _check_tokenizer(tokenizer: Tokenizer, weights: InitWeights) -> None:
    theirs = exported_tokenizer(weights.folder, weights.config, setting=f"{SETTING}.path")
    if theirs.fingerprint != tokenizer.fingerprint:
        raise UserError(
            f"data.tokenizer gives other token ids than that of {SETTING}.path = {weights.folder}; "
            f"accepted is data.tokenizer.path = {weights.folder / weights.config.tokenizer_file}"
        )


def _opened(folder: Path) -> Any:
    return safe_open(folder / WEIGHTS, framework="np")
