"""The loss on held-out samples, whatever the training batch is."""

from __future__ import annotations

import numpy as np

from ...data.labels import NAME as LABEL
from ...data.views import NAME
from ...errors import UserError
from ..encode import Encoders, Params, array_rows, place
from .evaluator import Task


class Loss:
    """The mean of the objective's loss over whole batches of `negatives` samples, in the order of the data; what is left over is not used.

    loss, loss/TERM where the objective has several terms, and loss_WIDTH of nested widths (loss_WIDTH/TERM): in nats, unweighted.
    """

    def __init__(self, task: Task):
        size, count = task.spec.negatives, len(task.samples)
        if count < size:
            raise UserError(
                f"{task.setting('negatives')} = {size}, and {task.setting('data')} has {count} samples; accepted is 1 to {count}"
            )
        self._size, self._batches = size, count // size
        slots = np.arange(count, dtype=np.int32) % size
        self._rows = {"image": task.images(), "text": array_rows(task.tokenize(task.samples.captions())), "slot": array_rows(slots)}
        if task.views is not None:
            self._rows[NAME] = task.image_views(task.views)
        if task.label_key is not None:
            self._rows[LABEL] = array_rows(task.samples.labels(task.label_key))

    @staticmethod
    def lower_is_better(metric: str) -> bool:
        """See Evaluator."""
        return True

    def __call__(self, encoders: Encoders, params: Params) -> dict[str, float]:
        """See the class."""
        totals: dict[str, float] = {}
        for start in range(0, self._batches * self._size, self._size):
            batch = {name: place(rows, encoders.mesh, start=start, size=self._size) for name, rows in self._rows.items()}
            loss, metrics = encoders.loss(params, batch)
            for name, value in {"loss": loss, **metrics}.items():
                if name.startswith("loss"):
                    totals[name] = totals.get(name, 0.0) + float(value)
        return {name: total / self._batches for name, total in totals.items()}
