"""Zero-shot classification."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import UserError
from ..encode import Encoders, Params
from .evaluator import Task
from .ranking import ranks


class ZeroShot:
    """Each image ranks the classes, a class being the mean embedding of its prompts (Radford et al., 2021, section 3.1.4).

    top1, and top5 where there are more than five classes: share of images, in [0, 1]. chance, chance_top5: of a random ranking.
    classes: how many.
    """

    def __init__(self, task: Task):
        names = entries(task, "class_names")
        templates = entries(task, "templates")
        for template in templates:
            if "{}" not in template:
                raise UserError(f"{task.setting('templates')} has {template!r}; accepted are prompts with {{}} in the place of the class")
        self._images = task.images()
        self._labels = labels(task, names)
        self._tokens = task.tokenize([template.replace("{}", name) for name in names for template in templates])
        self._classes = len(names)
        self._depths = {"top1": 1, "top5": 5} if self._classes > 5 else {"top1": 1}

    @staticmethod
    def lower_is_better(metric: str) -> bool:
        """See Evaluator."""
        return False

    def __call__(self, encoders: Encoders, params: Params) -> dict[str, float]:
        """See the class."""
        prompts = encoders.texts(params, self._tokens)
        classes = prompts.reshape(self._classes, -1, prompts.shape[-1]).mean(1)
        classes /= np.maximum(np.linalg.norm(classes, axis=-1, keepdims=True), 1e-12)
        images = encoders.images(params, self._images)
        rank = ranks(images, classes, query_ids=self._labels, key_ids=np.arange(self._classes), mesh=encoders.mesh)
        accuracy = {name: float(np.mean(rank <= depth)) for name, depth in self._depths.items()}
        chance = {"chance" if name == "top1" else f"chance_{name}": depth / self._classes for name, depth in self._depths.items()}
        return accuracy | chance | {"classes": float(self._classes)}


def entries(task: Task, field: str) -> list[str]:
    """The values of a setting that is a list, or one entry `file:PATH` with a line each."""
    values: tuple[str, ...] = getattr(task.spec, field)
    if len(values) == 1 and values[0].startswith("file:"):
        path = Path(values[0].removeprefix("file:"))
        if not path.is_file():
            raise UserError(f"{task.setting(field)} = {values[0]!r} names no file; accepted is a text file with a line each")
        try:
            values = tuple(line for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{task.setting(field)} = {values[0]!r} cannot be read ({error}); accepted is a UTF-8 text file with a line each"
            ) from None
    if not values:
        raise UserError(f"{task.setting(field)} is empty; accepted is a list, or one entry file:PATH with a line each")
    return list(values)


def labels(task: Task, names: list[str]) -> np.ndarray:
    """i64[count]: the class of each sample; a value that is a name is that class, else it is an index."""
    known = {name: index for index, name in enumerate(names)} | {
        str(index): index for index in range(len(names)) if str(index) not in names
    }
    values = [value.strip() for value in task.samples.member(task.spec.class_key)]
    for value in values:
        if value not in known:
            raise UserError(
                f"{task.setting('class_key')} = {task.spec.class_key!r} has the class {value!r}; accepted are the names in "
                f"{task.setting('class_names')}, or indices from 0 to {len(names) - 1}"
            )
    return np.array([known[value] for value in values])
