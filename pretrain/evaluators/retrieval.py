"""Image-text retrieval."""

from __future__ import annotations

import numpy as np

from ..encode import Encoders, Params
from .evaluator import Task
from .ranking import random_recall, ranks

DEPTHS = (1, 5, 10)


class Retrieval:
    """Each image ranks all captions (i2t) and each caption all images (t2i).

    i2t_r1, i2t_r5, i2t_r10, t2i_r1, ...: share of queries, in [0, 1], with a right answer among the first k. i2t_median_rank,
    t2i_median_rank: of the best right answer, from 1. Right answers are the samples with the query's value of `id_key`, or only itself.
    chance, chance_r5, chance_r10, chance_median_rank: of a random ranking. candidates: samples.
    """

    def __init__(self, task: Task):
        self._images = task.images()
        self._tokens = task.tokenize(task.samples.captions())
        self._ids = np.arange(len(self._tokens))
        if task.spec.id_key is not None:
            self._ids = np.unique(task.samples.member(task.spec.id_key), return_inverse=True)[1]
        recall = random_recall(np.bincount(self._ids)[self._ids], candidates=len(self._ids))
        at = {depth: float(recall[min(depth, len(recall)) - 1]) for depth in DEPTHS}
        median = float(np.argmax(recall >= 0.5) + 1)
        self._facts = {"chance": at[1], "chance_r5": at[5], "chance_r10": at[10], "chance_median_rank": median}
        self._facts["candidates"] = float(len(self._ids))

    @staticmethod
    def lower_is_better(metric: str) -> bool:
        """See Evaluator."""
        return metric.endswith("_rank")

    def __call__(self, encoders: Encoders, params: Params) -> dict[str, float]:
        """See the class."""
        images, texts = encoders.images(params, self._images), encoders.texts(params, self._tokens)
        ids = {"query_ids": self._ids, "key_ids": self._ids}
        found = {"i2t": ranks(images, texts, **ids, mesh=encoders.mesh), "t2i": ranks(texts, images, **ids, mesh=encoders.mesh)}
        recalls = {f"{way}_r{depth}": float(np.mean(rank <= depth)) for way, rank in found.items() for depth in DEPTHS}
        return recalls | {f"{way}_median_rank": float(np.median(rank)) for way, rank in found.items()} | self._facts
