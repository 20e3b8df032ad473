"""What an evaluator is, and what it is made from."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from ...data.spec import ViewsSpec
from ...data.views import COUNT
from ..encode import Encoders, Params, Rows
from ..spec import EvalTaskSpec


class Samples(Protocol):
    """A held-out data set, as `data.pipeline.EvalSet` is one."""

    def __len__(self) -> int: ...

    def captions(self) -> list[str]:
        """The caption of each sample."""

    def member(self, key_spec: str) -> list[str]:
        """`txt`, `cls` or `json:KEY` of each sample."""

    def labels(self, key_spec: str) -> np.ndarray:
        """int32[len]: the class of each sample by `cls` or `json:KEY`, -1: none."""

    def images(self, start: int, stop: int) -> np.ndarray:
        """uint8[stop - start, S, S, 3], transformed for evaluation."""

    def views(self, start: int, stop: int, *, views: ViewsSpec) -> np.ndarray:
        """uint8[stop - start, 2, S, S, 3]: two views of each, always the same."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One entry of `eval.tasks` with its data.

    tokenize: texts -> int32[B, T] at the model's full context length. image_size: S of the images. views: by what
    the views of an image are made, where the objective compares them. label_key: of the labels that the objective reads.
    """

    name: str
    spec: EvalTaskSpec
    samples: Samples
    tokenize: Callable[[Sequence[str]], np.ndarray]
    image_size: int
    views: ViewsSpec | None = None
    label_key: str | None = None

    def setting(self, field: str) -> str:
        """The full recipe path of a field of the task, for messages."""
        return f"eval.tasks.{self.name}.{field}"

    def images(self) -> Rows:
        """The images of the samples, decoded when they are asked for."""
        return Rows(count=len(self.samples), shape=(self.image_size, self.image_size, 3), dtype=np.uint8, read=self.samples.images)

    def image_views(self, views: ViewsSpec) -> Rows:
        """Two views of each image, made when they are asked for."""
        read = functools.partial(self.samples.views, views=views)
        return Rows(count=len(self.samples), shape=(COUNT, self.image_size, self.image_size, 3), dtype=np.uint8, read=read)


class Evaluator(Protocol):
    """Made once, from its task: reads and checks what it needs, raises UserError. Called at each evaluation by all processes alike."""

    def __init__(self, task: Task): ...

    @staticmethod
    def lower_is_better(metric: str) -> bool:
        """Whether a smaller value of this metric is the better one: what a sweep goes by."""

    def __call__(self, encoders: Encoders, params: Params) -> dict[str, float]:
        """metric -> value. The value of a random model is `chance` (of the first metric) or `chance_SUFFIX` (of metrics ending so)."""
