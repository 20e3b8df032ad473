"""Which of the parameters of an exported model are its logit scale and its logit bias."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

# Terms that train the towers by themselves, the likeliest first: beside one of these the scale of another belongs to mixtures or a teacher.
# `m2mix`, whose pairs are visited as theirs are, stands beside one of them, and its scale is of mixtures.
TERMS = ("softmax", "unicl", "sigmoid", "mochi")
PREFIX, SCALE, BIAS = "objective.terms.", ".logit_scale", ".logit_bias"


def scale_name(names: Iterable[str]) -> str | None:
    """The stored parameter that is the logarithm of the logit scale; None where there is none.

    Of several terms' that of the first of `TERMS`, and of others the first by name.
    """
    terms = {name.removeprefix(PREFIX).removesuffix(SCALE) for name in names if name.startswith(PREFIX) and name.endswith(SCALE)}
    first = next((term for term in (*TERMS, *sorted(terms)) if term in terms), None)
    return None if first is None else f"{PREFIX}{first}{SCALE}"


def scale_and_bias(weights: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """What training multiplied cosines with, and what it added then; (1, 0) where no term had a scale. Both are of one term."""
    name = scale_name(weights)
    if name is None:
        return 1.0, 0.0
    return math.exp(weights[name]), float(weights.get(name.removesuffix(SCALE) + BIAS, 0.0))
