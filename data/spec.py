"""The `data` part of a recipe. No jax, no files: only what can be said."""

from __future__ import annotations

import dataclasses

from ..schema import runtime


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizerSpec:
    """Which tokenizer turns captions into token ids.

    kind: `clip_bpe` (CLIP's byte-level BPE, as open_clip cleans and pads it) or `sentencepiece`.
    path: the merges (`bpe_simple_vocab_16e6.txt.gz`) or the SentencePiece model. Absent: CLIP's merges are fetched once and verified.
    """

    kind: str = "clip_bpe"
    path: str | None = runtime(None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentSpec:
    """What is done to a training image at random, keyed by the position of the sample in the run.

    crop_scale: share of the image's area that a random-resized crop keeps, drawn uniformly. (1, 1): the deterministic evaluation crop.
    crop_ratio: width / height of the crop, drawn log-uniformly. (1, 1): square.
    flip: probability of a horizontal flip.
    """

    crop_scale: tuple[float, float] = (1.0, 1.0)
    crop_ratio: tuple[float, float] = (1.0, 1.0)
    flip: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSpec:
    """Where samples come from and what is done to them on the host.

    train: shard patterns (globs and braces). Their content is part of the run's identity through the manifest, their place is not.
    source: `webdataset`.
    order: `exact`: a true global shuffle, each epoch a bijection that drops nothing.
    image_size: pixels of the square image that the model sees.
    resize: `shortest` (shorter side, then centre crop) or `squash` (both sides, aspect lost); bicubic, as Pillow does it.
    resize_first: whether `resize` also comes before the random crop (pixels), as CLIP trained on images that were resized already.
    text_key: member of the sample with the caption: `txt`, or `json:KEY`.
    text_lengths: lengths to which a batch's captions may be cut when all of them are shorter. Exact for causal text alone. Empty: never.
    max_bad_fraction: share of bad samples above which the run fails, judged after 1,000 draws.
    threads: decoding threads of a host.
    cache_mb: memory for decoded images (after `resize`), in MiB a host; 0: none. Each evaluation set may take as much again.
    """

    train: tuple[str, ...] = runtime(())
    source: str = "webdataset"
    order: str = "exact"
    image_size: int = 224
    resize: str = "shortest"
    resize_first: int | None = None
    text_key: str = "txt"
    text_lengths: tuple[int, ...] = runtime(())
    max_bad_fraction: float = runtime(0.01)
    threads: int = runtime(2)
    cache_mb: int = runtime(0)
    tokenizer: TokenizerSpec = TokenizerSpec()
    augment: AugmentSpec = AugmentSpec()
