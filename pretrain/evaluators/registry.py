"""The evaluations that a recipe can name as `eval.tasks.NAME.kind`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .evaluator import Evaluator
from .loss import Loss
from .retrieval import Retrieval
from .zero_shot import ZeroShot

EVALUATORS: Mapping[str, type[Evaluator]] = MappingProxyType({"retrieval": Retrieval, "zero_shot": ZeroShot, "loss": Loss})
