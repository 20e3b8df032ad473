"""The `optimizer` part of a recipe. No jax."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerSpec:
    """AdamW with decoupled weight decay, and its schedule.

    schedule: `cosine` or `linear` (both end at 0 at `decay_steps`), `constant`, `rsqrt`. All after `warmup_steps` of linear warm-up.
    decay_steps: steps at which the schedule ends; absent: `train.steps`.
    no_decay: names of parameters (regular expressions on the last part of the path) that weight decay leaves alone.
    grad_clip: largest global norm of the gradient.
    freeze: dotted names of parameters (regular expressions that match the whole name, such as `model\\.image\\..*`) that are not trained.
    """

    name: str = "adamw"
    peak_lr: float = 5e-4
    schedule: str = "cosine"
    warmup_steps: int = 2000
    decay_steps: int | None = None
    weight_decay: float = 0.2
    no_decay: tuple[str, ...] = (r".*bias", r".*scale", r"class_token", r"cls_token")
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    grad_clip: float = 1.0
    freeze: tuple[str, ...] = ()
