"""The `optimizer` part of a recipe. No jax."""

from __future__ import annotations

import dataclasses

from ..schema import duration


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdafactorSpec:
    """Adafactor as big_vision has it (Zhai et al., 2022, "Scaling vision transformers", section 3.4).

    decay, beta2_cap: the second moment at step t is averaged with 1 - t^-decay, at most `beta2_cap`. momentum: of the update.
    min_factored: matrices with a side below keep their second moment whole.
    """

    decay: float = 0.8
    beta2_cap: float = 0.999
    momentum: float = 0.9
    min_factored: int = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class MuonSpec:
    """Muon for hidden matrices; all other parameters are AdamW's.

    hidden: patterns of the names of hidden matrices; what has not two dimensions in a layer stays AdamW's.
    rms: root mean square of an update at learning rate 1: 0.2, which is AdamW's, lets both share `peak_lr` (Liu et al., 2025); absent: an
        update has the norm that Jordan et al. (2024) give it.
    """

    hidden: tuple[str, ...] = (r".*\.(layers|pool)\.(attention|cross|mlp)\..*",)
    momentum: float = 0.95
    rms: float | None = 0.2


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerSpec:
    """The optimizer, its schedule, and which parameters are treated apart.

    Patterns are regular expressions that match the whole dotted name of a parameter, such as `model\\.image\\..*`; those of `no_decay` may
    also match its last part alone.

    name: `adamw`, `adafactor`, `lion`, `muon`, `lamb`.
    schedule: `cosine` or `linear` (both end at `final_fraction` of the peak at `decay_steps`), `constant`, `rsqrt`. All after
        `warmup_steps` of linear warm-up.
    decay_steps: where the schedule or its cool-down ends; absent: `train.steps`.
    cooldown_steps: of `constant` and `rsqrt`: how long before the end they go linearly to `final_fraction`. 0: they do not.
    timescale_steps: of `rsqrt`: after so many steps from the end of the warm-up the rate has fallen by sqrt(2); absent: `warmup_steps`,
        which then may not be 0.
    final_fraction: of `peak_lr`, at the end of the schedule; an `rsqrt` that is below it already falls on.
    weight_decay: what a step takes off a parameter, as a share of its learning rate (as torch and optax have it; big_vision's is a share
        of the schedule alone, so its 1e-4 at a peak of 1e-3 is 0.1 here).
    no_decay: parameters that weight decay leaves alone; of `lamb`, also those whose update is not scaled by their norm. Only those of the
        default may match none.
    lr_multipliers, decay_multipliers: (pattern, factor) of the learning rate and of the weight decay; the first that matches counts.
    layer_decay: factor of the learning rate from each layer of a tower to the one below it, 1 for what is above them; absent: 1.
    betas: of AdamW, LAMB and Lion, and of the AdamW beside Muon. eps: of all but Lion and Adafactor.
    moment_dtype: of the first moment, `float32` or `bfloat16`; absent: bfloat16 for `adafactor`, else float32.
    grad_clip: largest global norm of the gradient; absent: any.
    adaptive_clip: largest norm of a unit's gradient, as a share of the norm of its parameters (Brock et al., 2021); absent: any.
    freeze: patterns of parameters that are not trained.
    """

    name: str = "adamw"
    peak_lr: float = 5e-4
    schedule: str = "cosine"
    warmup_steps: int = duration(2000)
    decay_steps: int | None = duration(None)
    cooldown_steps: int = duration(0)
    timescale_steps: int | None = duration(None)
    final_fraction: float = 0.0
    weight_decay: float = 0.2
    no_decay: tuple[str, ...] = (r".*bias", r".*scale", r"class_token", r"cls_token")
    lr_multipliers: tuple[tuple[str, float], ...] = ()
    decay_multipliers: tuple[tuple[str, float], ...] = ()
    layer_decay: float | None = None
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    moment_dtype: str | None = None
    grad_clip: float | None = 1.0
    adaptive_clip: float | None = None
    adafactor: AdafactorSpec = AdafactorSpec()
    muon: MuonSpec = MuonSpec()
    freeze: tuple[str, ...] = ()
