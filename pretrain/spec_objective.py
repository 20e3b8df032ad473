"""The `objective` part of a recipe. No jax."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ..schema import runtime


@dataclasses.dataclass(frozen=True, kw_only=True)
class MatryoshkaSpec:
    """Contrastive terms also on the first entries of the embeddings (Kusupati et al., 2022). widths: how many entries, rising; none: off.

    weights: of the widths' losses, beside that of the whole embedding, which counts 1; none: 1 each.
    """

    widths: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class CyclipSpec:
    """Weights of the two parts of `cyclip` (Goel et al., 2022): images against texts, and each among themselves."""

    cross_modal: float = 0.25
    in_modal: float = 0.25


@dataclasses.dataclass(frozen=True, kw_only=True)
class MochiSpec:
    """Mixed negatives of `mochi` (Kalantidis et al., 2020). hardest: of how many of the hardest negatives of a query they are mixed.

    mixed: how many of two of those, for each query; with_query: how many of one of those and the query.
    """

    hardest: int = 64
    mixed: int = 64
    with_query: int = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class M2MixSpec:
    """Mixtures of `m2mix` (Oh et al., 2023). alpha: the image's share is drawn from Beta(alpha, alpha)."""

    alpha: float = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class CaptioningSpec:
    """vocab_chunk: columns of the vocabulary whose logits exist at a time on a device; absent: what 64 MiB hold, at least 1,024."""

    vocab_chunk: int | None = runtime(None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelfSupervisedSpec:
    """Two views of an image find each other; `data.views` says how they are made.

    temperature: what cosines are divided by. projector: widths of the layers between the tower's pooled vector and what is compared.
    """

    temperature: float = 0.1
    projector: tuple[int, ...] = (4096, 4096, 256)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistillationSpec:
    """What the terms `distillation_embedding`, `distillation_similarity` and `distillation_logits` learn from a frozen teacher.

    teacher: a folder that `diptych export` wrote, whose tokenizer, context length and image size are the recipe's. teacher_dim: numbers
        of its embedding; absent: as many as `model.embed_dim`.
    distance: of embeddings: `mse` (the mean square over entries) or `cosine` (1 - cosine).
    temperature: of similarities: what the cosines of both are divided by.
    """

    teacher: str | None = runtime(None)
    teacher_dim: int | None = None
    distance: str = "mse"
    temperature: float = 0.07


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectiveSpec:
    """Weighted terms. The total loss is the weighted sum.

    terms: name of a registered term -> weight: `softmax`, `sigmoid`, `unicl`, `captioning`, `mochi`, `m2mix`, `cyclip`, `self_supervised`,
        `distillation_embedding`, `distillation_similarity`, `distillation_logits`.
    init_scale, max_scale: the logit scale (inverse temperature) at the start, and its upper bound after each step (absent: none).
    scale: `learnt` (within 1 and max_scale), or `fixed` at init_scale.
    init_bias: the sigmoid term's logit bias at the start.
    label_smoothing: of `softmax` and `unicl`: this part of each target goes evenly to the whole batch.
    form: how the pairs of contrastive terms are visited: `gather`, `chunked`, `ring`, or `auto` (see pretrain/objectives/forms.py).
    chunk: keys in a tile of logits, of the forms chunked and ring; absent: what 16 MiB hold.
    captioning: of `captioning`; how captions are predicted is the model's: `model.decoder`.
    """

    terms: Mapping[str, float] = dataclasses.field(default_factory=dict)
    init_scale: float = 1 / 0.07
    max_scale: float | None = 100.0
    scale: str = "learnt"
    init_bias: float = -10.0
    label_smoothing: float = 0.0
    form: str = runtime("auto")
    chunk: int | None = runtime(None)
    matryoshka: MatryoshkaSpec = MatryoshkaSpec()
    cyclip: CyclipSpec = CyclipSpec()
    mochi: MochiSpec = MochiSpec()
    m2mix: M2MixSpec = M2MixSpec()
    captioning: CaptioningSpec = CaptioningSpec()
    self_supervised: SelfSupervisedSpec = SelfSupervisedSpec()
    distillation: DistillationSpec = DistillationSpec()
