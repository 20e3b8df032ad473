"""From a run folder to a model folder of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from ...data.image_presets import preprocessing
from ...data.tokenizers import Tokenizer
from ...errors import UserError
from ...sharding.layouts import named_leaves
from ...sharding.mesh import make_mesh
from ...sharding.spec import MeshSpec
from ..checkpoint import SavedCheckpoints, check_same_tokenizer, restore_params
from ..ema import evaluated
from ..learner import make_learner
from ..recipe import identity_hash
from ..run_folder import read_recipe
from ..run_tokenizer import find_tokenizer
from ..spec import Recipe
from ..teacher_files import untaught
from .config import CARD, CONFIG, WEIGHTS, ExportConfig, Origin, read_config, write_config
from .model_card import latest_metrics, model_card


def export_run(workdir: Path, out: Path, *, step: int | None = None) -> dict[str, Any]:
    """Writes the model of a run's checkpoint (the newest where `step` is absent) to the folder `out`, which appears whole or not at all.

    Its parameters are those that the run evaluates: where it keeps their average, that (`eval.params`).
    Returns path, step, params_m (millions of parameters) and size_mb. An `out` that holds the same step of the same run is left as it is;
    UserError where it holds anything else. One process, one device, whatever the run was trained on.
    """
    workdir, out = Path(workdir), Path(out).absolute()
    recipe = read_recipe(workdir)
    learner = make_learner(untaught(recipe), make_mesh(MeshSpec(replica=1, fsdp=1, tensor=1)))
    found, params = restore_params(workdir, learner, step=step)
    tokenizer, origin = find_tokenizer(workdir, recipe.data.tokenizer), origin_of(workdir, recipe, step=found)
    check_same_tokenizer(workdir, tokenizer, step=found)
    metrics = latest_metrics(workdir, step=found)
    weights = {name: np.asarray(value, np.float32) for name, value in named_leaves(params).items()}
    parameters = sum(value.size for value in weights.values())
    if not holds(out, origin):
        with whole_folder(out) as folder:
            write(folder, recipe, tokenizer=tokenizer, origin=origin, weights=weights, metrics=metrics, name=out.name)
    size = sum(file.stat().st_size for file in out.iterdir())
    return {"path": str(out), "step": found, "params_m": parameters / 1e6, "size_mb": size / 1e6}


def origin_of(workdir: Path, recipe: Recipe, *, step: int) -> Origin:
    """What is known of the training up to a checkpoint."""
    with SavedCheckpoints(workdir) as checkpoints:
        data = checkpoints.data(step)
    return Origin(
        recipe=recipe.name,
        hash=identity_hash(recipe),
        manifest=data["manifest"],
        steps=step,
        samples=data["samples"],
        params=evaluated(recipe),
    )


def write(
    folder: Path, recipe: Recipe, *, tokenizer: Tokenizer, origin: Origin, weights: dict[str, np.ndarray], metrics: str, name: str
) -> None:
    """All files of the model. Reads nothing: an OSError in here is that of `--out`."""
    images = preprocessing(recipe.data)
    config = ExportConfig(
        model=recipe.model,
        image_size=images.size,
        resize=images.resize,
        interpolation=images.interpolation,
        resize_size=images.resize_size,
        exif=recipe.data.decode.exif,
        tokenizer=recipe.data.tokenizer.kind,
        tokenizer_file=tokenizer.save(folder).name,
        tokenizer_preset=recipe.data.tokenizer.preset,
        origin=origin,
    )
    save_file(weights, folder / WEIGHTS, metadata={"format": "np"})
    write_config(folder, config)
    parameters = sum(value.size for value in weights.values())
    card = model_card(config, recipe, name=name, parameters=parameters, metrics=metrics)
    (folder / CARD).write_text(card, encoding="utf-8")


def holds(out: Path, origin: Origin) -> bool:
    """Whether `out` is that model already; UserError where it is anything else than absent or an empty folder."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if (out / CONFIG).is_file() and read_config(out, setting="--out").origin == origin:
        return True
    raise UserError(f"--out = {out} is not empty; accepted is a folder that is absent or empty, or that holds this very model")


@contextlib.contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that becomes `out` when the block ends well, and goes away when it does not."""
    part = out.with_name(f".{out.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        os.replace(part, out)
    except OSError as error:
        raise UserError(f"--out = {out} cannot be written ({error.strerror}); accepted is a place that can be") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
