"""The ranges of numbers, wherever they stand in a recipe."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import UserError
from .spec import Recipe

LARGEST = 2**31 - 1  # steps and places are counted in 32 bits on the devices
LARGEST_SEED = 2**32 - 1  # jax keeps 32 bits of a seed: a larger one would be another one's twin
JUDGED_ELSEWHERE = (
    *("mesh.", "data.text_lengths[", "data.decode.max_pixels", "data.size_schedule."),
    *("data.augment.randaugment[", "data.views.randaugment["),
)
FROM_ZERO = (
    *("seed", "model.text.eos_id", "model.text.pad_id", "data.workers", "data.cache_mb"),
    *("optimizer.warmup_steps", "optimizer.cooldown_steps", "train.scan_unroll", "eval.every"),
    *("objective.mochi.mixed", "objective.mochi.with_query"),
)
# Ranges of the other numbers by the beginning of their paths, both ends included; what is not here may have any finite value.
ABOVE_ZERO, FINITE = math.ulp(0.0), (-math.inf, math.inf)
RANGES: Mapping[str, tuple[float, float]] = {
    "model.image.norm_eps": (ABOVE_ZERO, math.inf),
    "model.text.norm_eps": (ABOVE_ZERO, math.inf),
    "model.decoder.parallel": (0, 1),
    "objective.init_scale": (ABOVE_ZERO, math.inf),
    "objective.max_scale": (ABOVE_ZERO, math.inf),
    "objective.label_smoothing": (0, 1),
    "objective.matryoshka.weights[": (0, math.inf),
    "objective.self_supervised.temperature": (ABOVE_ZERO, math.inf),
    "objective.distillation.temperature": (ABOVE_ZERO, math.inf),
    "objective.cyclip.": (0, math.inf),
    "objective.m2mix.alpha": (ABOVE_ZERO, math.inf),
    "data.mixture.": (0, math.inf),
    "data.caption.sources.": (0, math.inf),
    "data.max_bad_fraction": (0, 1),
    "data.shard_cache_gb": (ABOVE_ZERO, math.inf),
    "data.augment.flip": (0, 1),
    "data.augment.colour_jitter_p": (0, 1),
    "data.augment.grey": (0, 1),
    "data.augment.blur_sigma[": (0, math.inf),
    "data.augment.blur": (0, 1),
    "data.views.flip": (0, 1),
    "data.views.colour_jitter_p": (0, 1),
    "data.views.grey": (0, 1),
    "data.views.blur_sigma[": (0, math.inf),
    "data.views.blur": (0, 1),
    "optimizer.peak_lr": (ABOVE_ZERO, math.inf),
    "optimizer.eps": (ABOVE_ZERO, math.inf),
    "optimizer.grad_clip": (ABOVE_ZERO, math.inf),
    "optimizer.weight_decay": (0, math.inf),
    "optimizer.final_fraction": (0, 1),
    "optimizer.lr_multipliers": (ABOVE_ZERO, math.inf),
    "optimizer.decay_multipliers": (0, math.inf),
    "optimizer.layer_decay": (ABOVE_ZERO, 1),
    "optimizer.adaptive_clip": (ABOVE_ZERO, math.inf),
    "optimizer.adafactor.decay": (ABOVE_ZERO, 1),
    "optimizer.muon.rms": (ABOVE_ZERO, math.inf),
    "log.peak_tflops": (ABOVE_ZERO, math.inf),
}


def check_numbers(recipe: Recipe) -> None:
    """Raises UserError for the first number out of range; an integer is a size, from 1, unless it is one of those that may be 0."""
    for path, value in numbers(recipe):
        if path.startswith(JUDGED_ELSEWHERE):
            continue
        least, most = (
            sizes(path) if type(value) is int else next((ends for start, ends in RANGES.items() if path.startswith(start)), FINITE)
        )
        if not least <= value <= most:
            raise UserError(f"{path} = {value} is out of range; accepted is {said(least, most)}")


def sizes(path: str) -> tuple[int, int]:
    """The least and the largest value of the integer at `path`."""
    return 0 if path in FROM_ZERO else 1, LARGEST_SEED if path == "seed" else LARGEST


def said(least: float, most: float) -> str:
    """A range in words."""
    if least == ABOVE_ZERO:
        return "a number above 0" if most == math.inf else f"a number above 0, at most {most}"
    return f"a number from {least}" if most == math.inf else f"a number from {least} to {most}"


def numbers(value: Any, path: str = "") -> Iterator[tuple[str, int | float]]:
    """(full path, value) of every number below a group of settings; items of a list are `path[place]`."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from numbers(getattr(value, field.name), f"{path}.{field.name}" if path else field.name)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from numbers(item, f"{path}.{key}")
    elif isinstance(value, tuple):
        for place, item in enumerate(value):
            yield from numbers(item, f"{path}[{place}]")
    elif type(value) in (int, float):
        yield path, value
