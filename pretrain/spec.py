"""The recipe as frozen dataclasses: the one form in which settings travel below the door. No jax, no files.

A field is part of the run's **identity** unless it is marked `runtime(...)`: a run folder is resumed only with the same identity. One
that is marked `duration(...)` counts steps, and may be said in other units (`durations.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ..data.spec import DataSpec
from ..schema import duration, runtime
from ..sharding.spec import MeshSpec
from .spec_objective import ObjectiveSpec
from .spec_optimizer import OptimizerSpec

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageTowerSpec:
    """A vision transformer (Dosovitskiy et al., 2021).

    mlp_dim: hidden units of the MLP; absent: 4 x width.
    pool: `cls` (a class token), `gap` (mean of tokens), `map` (attention pooling by one probe, Zhai et al., 2022),
        `attentional` (CoCa's pooler with `pool_queries` queries; the first is the embedding, the others go to the decoder).
    projection: `linear` (no bias) to the embedding, or `none`.
    norm_first: LayerNorm before the first block, `layernorm` (CLIP) or `none`.
    activation: `gelu` (exact), `gelu_tanh`, or `quick_gelu` (x sigmoid(1.702 x), OpenAI's CLIP).
    patch_dropout: share of an image's patches that a training step does not read, drawn anew each time (FLIP, Li et al., 2023).
    init: `clip` or `big_vision`.
    mean, std: per channel, of pixels scaled to [0, 1].
    """

    depth: int = 12
    width: int = 768
    heads: int = 12
    mlp_dim: int | None = None
    patch_size: int = 32
    pool: str = "cls"
    pool_heads: int | None = None
    pool_queries: int = 256
    projection: str = "linear"
    norm_first: str = "layernorm"
    norm_eps: float = 1e-5
    activation: str = "gelu"
    patch_dropout: float = 0.0
    init: str = "clip"
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextTowerSpec:
    """A text transformer.

    context_length: tokens a caption, end token included. vocab_size: rows of the token table (at least the tokenizer's).
    eos_id: the tokenizer's end token; read by the pools `eos` and `cls` and by the captioning term. Rows are padded by the tokenizer.
    attention: `causal`, `bidirectional` (over padding too, as SigLIP) or `bidirectional_masked` (over the caption alone, as BERT).
    pad_id: the tokenizer's padding; read by `bidirectional_masked`, which needs it.
    pool: `eos` (the first `eos_id`), `last` (the last position, whatever it holds), or `cls` (a learnt token put at the end, CoCa).
    projection: `linear`, `linear_bias` (SigLIP), or `none`.
    """

    depth: int = 12
    width: int = 512
    heads: int = 8
    mlp_dim: int | None = None
    context_length: int = 77
    vocab_size: int = 49408
    eos_id: int = 49407
    attention: str = "causal"
    pad_id: int | None = None
    pool: str = "eos"
    projection: str = "linear"
    norm_eps: float = 1e-5
    activation: str = "gelu"
    init: str = "clip"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderSpec:
    """What predicts the caption from text tokens and image tokens.

    attention: `causal` (CoCa: causal self-attention, then cross-attention to the image tokens; Yu et al., 2022, section 3.2), or `prefix`
        (SimVLM: in one sequence, the image tokens and a random number of first words see each other, and only later words are predicted;
        Wang et al., 2022, section 3.2).
    parallel: of `causal`: the part of a step's samples whose words are predicted all at once, from the image alone (CapPa has 0.75;
        Tschannen et al., 2023, section 3).
    """

    depth: int = 12
    heads: int = 8
    mlp_dim: int | None = None
    attention: str = "causal"
    parallel: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """An image tower and a text tower with a shared embedding of `embed_dim`; with `decoder`, a contrastive captioner."""

    image: ImageTowerSpec = ImageTowerSpec()
    text: TextTowerSpec = TextTowerSpec()
    decoder: DecoderSpec | None = None
    embed_dim: int = 512


@dataclasses.dataclass(frozen=True, kw_only=True)
class SkipSpec:
    """Steps that change nothing: always those whose gradient's norm is not finite.

    outlier: and those whose norm is more than so many standard deviations above its running mean, 6 for instance; absent: none.
    window: steps that mean and deviation are of, and that come before any is an outlier.
    max_skips: so many in a row end the run, which saves nothing more.
    """

    outlier: float | None = None
    window: int = 128
    max_skips: int = runtime(20)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InitSpec:
    """Weights that a run starts from instead of fresh ones. When it goes on with a checkpoint, that has them all.

    path: a folder that `diptych export` wrote; absent: every parameter is fresh.
    parameters: patterns of the dotted names of those that are taken from it, such as `model\\.image\\..*`; the others are fresh.
    """

    path: str | None = runtime(None)
    parameters: tuple[str, ...] = runtime((r".*",))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainSpec:
    """batch_size: samples a step, of all devices together. dtype: of the towers' arithmetic (parameters, logits and loss are float32).

    accumulate: microbatches whose activations a device holds one after the other; the loss is still that of the whole batch.
    remat: `none`, `dots` (matrix products are kept), `full` (only the inputs of a layer are kept), or `auto` (the hardware's preset).
    scan_unroll: layers of a tower that are compiled as straight code; 0: all.
    ema_decay: of the moving average of the parameters, min(ema_decay, (1 + t) / (10 + t)) at update t; absent: there is none.
    """

    batch_size: int = 32768
    steps: int = duration(390_625, identity=False)
    dtype: str = "bfloat16"
    accumulate: int = runtime(1)
    remat: str = runtime("none")
    scan_unroll: int = runtime(1)
    ema_decay: float | None = None
    skip: SkipSpec = SkipSpec()
    init: InitSpec = InitSpec()


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalTaskSpec:
    """One evaluation.

    kind: `retrieval`, `zero_shot`, or `loss`.
    data: shard patterns.
    id_key: retrieval: samples with the same value of this member (`json:codepoint`, `txt`) are right answers for each other; absent:
        the sample alone.
    class_key: zero-shot: the member with the class, an index or a name (`cls`, `json:group`).
    class_names, templates: zero-shot: the names in order, and prompts with `{}`; or one entry `file:PATH` with a line each.
    negatives: loss: samples a contrastive batch, whatever the training batch is.
    """

    kind: str = "retrieval"
    data: tuple[str, ...] = ()
    id_key: str | None = None
    class_key: str = "cls"
    class_names: tuple[str, ...] = ()
    templates: tuple[str, ...] = ("{}",)
    negatives: int = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalSpec:
    """every: steps between evaluations during training; 0: only at the end. metric: `TASK/NAME`, the one number that sweeps compare.

    params: what is evaluated and exported, `raw` parameters or their `ema`; absent: the average where `train.ema_decay` keeps one.
    """

    every: int = duration(0)
    batch_size: int = 256
    metric: str | None = None
    params: str | None = None
    tasks: Mapping[str, EvalTaskSpec] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointSpec:
    """every: steps between checkpoints; one is always saved at the end.

    keep_last: how many of the newest are kept. keep_every: steps whose multiples are kept for ever.
    """

    every: int = duration(1000)
    keep_last: int = 2
    keep_every: int | None = duration(None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogSpec:
    """every: steps between lines. writers: where metrics go: `jsonl`, `tensorboard`, `wandb`.

    peak_tflops: of one device, for the utilisation; absent: from the hardware table.
    """

    every: int = duration(50)
    writers: tuple[str, ...] = ("jsonl", "tensorboard")
    peak_tflops: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that one training run is."""

    name: str = runtime("")
    seed: int = 0
    model: ModelSpec = ModelSpec()
    objective: ObjectiveSpec = ObjectiveSpec()
    data: DataSpec = DataSpec()
    optimizer: OptimizerSpec = OptimizerSpec()
    train: TrainSpec = TrainSpec()
    mesh: MeshSpec = runtime(MeshSpec())
    eval: EvalSpec = runtime(EvalSpec())
    checkpoint: CheckpointSpec = runtime(CheckpointSpec())
    log: LogSpec = runtime(LogSpec())
