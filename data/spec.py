"""The `data` part of a recipe. No jax, no files: only what can be said."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from ..schema import duration, runtime


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizerSpec:
    """Which tokenizer turns captions into token ids.

    kind: `clip_bpe` (CLIP's byte-level BPE), `sentencepiece`, or `huggingface` (any `tokenizer.json`).
    path: the merges (`bpe_simple_vocab_16e6.txt.gz`), the SentencePiece model or the `tokenizer.json` (`bert`: or the `vocab.txt`). Absent:
        CLIP's merges are fetched once and verified.
    preset: cleaning, special tokens, truncation and padding as one released model has them: `clip_open_clip`, `clip_hf`, `siglip`,
        `siglip2`, `bert`. Absent: what the kind does by itself (`clip_bpe`: `clip_open_clip`).
    """

    kind: str = "clip_bpe"
    path: str | None = runtime(None)
    preset: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class CaptionSpec:
    """Which text of a sample is its caption; every choice is drawn by the position of the sample in the run.

    sources: member (`txt`, `json:KEY`, `NAME.txt`) -> probability, such as {"txt": 0.3, "json:synthetic": 0.7}. A text that is absent or
        blank gives its share to the others. Empty: `data.text_key` alone. (A ConfigDict takes names with dots with `allow_dotted_keys`.)
    lines: of a text with several lines, or of a list in a `json`: `all` (the text whole), `first`, or `random` (one non-empty line).
    templates: sentences with `{}` around the caption, one drawn for each sample.
    clean: of the whole sentence: `none`, `clip` (open_clip's `lower`), `siglip` (canonicalize: lower case, punctuation out), or
        `big_vision` (lower case, no final dot). The prompts of evaluations and what an exported model is asked are not cleaned: what all
        text needs is `tokenizer.preset`.

    Evaluation takes the first line of the most probable text in the first template.
    """

    sources: Mapping[str, float] = dataclasses.field(default_factory=dict)
    lines: str = "all"
    templates: tuple[str, ...] = ()
    clean: str = "none"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentSpec:
    """What is done to a training image at random, keyed by the position of the sample in the run.

    crop_scale: share of the image's area that a random-resized crop keeps, drawn uniformly. (1, 1): the deterministic evaluation crop.
    crop_ratio: width / height of the crop, drawn log-uniformly. (1, 1): square.
    flip: probability of a horizontal flip.
    colour_jitter: strengths of brightness, contrast, saturation and hue, as torchvision's ColorJitter; applied with `colour_jitter_p`.
    grey: probability of a grey image.
    randaugment: (number of operations, magnitude of 0..30) of RandAugment (Cubuk et al., 2020); absent: none.
    blur: probability of a Gaussian blur. blur_sigma: its standard deviation in pixels, drawn uniformly.
    """

    crop_scale: tuple[float, float] = (1.0, 1.0)
    crop_ratio: tuple[float, float] = (1.0, 1.0)
    flip: float = 0.0
    colour_jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    colour_jitter_p: float = 0.8
    grey: float = 0.0
    randaugment: tuple[int, int] | None = None
    blur: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViewsSpec(AugmentSpec):
    """What is done to an image at random for each of the two views that a self-supervised term compares: as in `AugmentSpec`.

    The defaults are SLIP's (Mu et al., 2021, appendix A), which are SimCLR's (Chen et al., 2020, appendix A) at half the colour strength.
    """

    crop_scale: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    colour_jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    grey: float = 0.2
    blur: float = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodeSpec:
    """How bytes become pixels.

    backend: `pillow` (the reference), `pillow_draft` (a JPEG decoded at the smallest 1/2^k scale that leaves twice what is needed), or
        `simplejpeg` (libjpeg-turbo without Pillow; at the smallest M/8 scale that leaves twice what is needed).
    resizer: `pillow` (the reference) or `cykooz` (Rust with SIMD: 3 times faster, within two levels). What backends and resizers change in
        the pixels, and what they gain, is in `docs/data.md`. Evaluation always takes the reference.
    exif: `ignore` (as open_clip and big_vision do) or `rotate`.
    max_pixels: images with more, by their header, are bad samples.
    """

    backend: str = "pillow"
    resizer: str = "pillow"
    exif: str = "ignore"
    max_pixels: int = 1 << 26


@dataclasses.dataclass(frozen=True, kw_only=True)
class SizeScheduleSpec:
    """Image sizes that change during training: each window of steps has one, drawn evenly by (seed, window), the same on all hosts.

    sizes: sides of square images in pixels. seq_lens: numbers of patches; an image keeps its aspect and gets at most so many of them
        (NaFlex: Tschannen et al., 2025, section 2.4.2). One of the two is given; each of its values compiles a program of its own.
    patch_size: pixels; divides the sizes.
    window: steps that share a size.
    until: step from which images have `data.image_size` (CLIPA's full-resolution end: Li et al., 2023, section 3); of `sizes` alone.
    """

    sizes: tuple[int, ...] = ()
    seq_lens: tuple[int, ...] = ()
    patch_size: int = 16
    window: int = 1
    until: int | None = duration(None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextScheduleSpec:
    """Captions of few tokens for most of training, whole at its end (CLIPA: Li et al., 2023, section 3). Evaluation keeps all tokens.

    length: tokens a caption, start and end token included; at most `model.text.context_length`.
    reduction: which tokens of a longer one stay: `truncate` (the first), `random` (any, in their order), or `block` (a run of them from
        anywhere); drawn by the position of the sample in the run, out of the tokens that the context would hold.
    until: step from which captions have `model.text.context_length` tokens; absent: they never have.
    """

    length: int = 16
    reduction: str = "truncate"
    until: int | None = duration(None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PartSpec:
    """One part of a mixture: patterns as in `data.train`, its kind of source, and its share (any unit; shares are divided by their sum)."""

    train: tuple[str, ...] = runtime(())
    source: str = runtime("webdataset")
    weight: float = runtime(1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSpec:
    """Where samples come from and what is done to them on the host.

    train: shard patterns (globs, braces, `@FILE` with a pattern a line; `gs://`, `s3://`, `https://`, `hf://` through fsspec), or
        the manifest of them that `diptych data index --out` wrote. Their content is part of the run's identity through the manifest,
        their place is not.
    source: `webdataset`, `tfds` (ArrayRecord), `parquet`, `folder` (images + CSV/JSONL), or `shapes` (rendered by code); as KIND:WHERE it
        takes the place of `train`. As with `train`, the content is what binds a run.
    mixture: name -> part, drawn in exact proportion; instead of `train`. The weights may change when a run is resumed.
    order: `exact` (a true global shuffle, each epoch a bijection that drops nothing), `block` (shuffled in blocks of shards on `streams`
        virtual streams: what remote shards need), or `auto` (`exact` below 1,000,000 samples).
    streams: virtual streams of `block`; divides the batch, and is divided by the number of hosts.
    block_shards: shards that a block of a stream spans, on average: more mixes better and needs more cache.
    image_size: pixels of the square image that the model sees.
    resize: `shortest` (shorter side, then centre crop) or `squash` (both sides, aspect lost).
    interpolation: `bicubic` or `bilinear`, antialiased, as Pillow does it.
    resize_first: whether `resize` also comes before the random crop (pixels), as CLIP trained on images that were resized already.
    preset: name of released weights whose evaluation preprocessing is wanted (`openai_clip`, `siglip`, `siglip2`, `align`,
        `coca_open_clip`, `imagenet`); then `resize` and `interpolation` are the preset's.
    size_schedule: image sizes that change during training, instead of `image_size`, which evaluation keeps; absent: none.
    text_schedule: captions of fewer tokens than `model.text.context_length` for a part of training; absent: none.
    epoch_samples: how many samples make an epoch, for durations in epochs; absent: as many as the sources hold.
    text_key: member of the sample with the caption: `txt`, or `json:KEY`.
    label_key: member of the sample with its class, a whole number: `cls`, or `json:KEY`; a sample without it, or with a negative one, has
        none. Read by the term `unicl`. Absent: no sample has one.
    text_lengths: lengths to which a batch's captions may be cut when all of them are shorter. Exact for causal text alone. Empty: never.
    max_bad_fraction: share of bad samples above which the run fails, judged after 1,000 draws of the whole job.
    views: what the two extra views of an image are made by, where the objective has a term that compares them; else none are made.
    embeddings: folder of embeddings of the training images by the frozen image tower, which `diptych embed` wrote; they are read instead of
        the images, and the tower is not run. Absent: none.
    threads: decoding threads of a process. workers: processes of a host that decode; 0: threads of the main process alone.
    cache_mb: memory for decoded images (after `resize`), in MiB a host; 0: none. Each evaluation set may take as much again.
    shard_cache: folder for remote shards; absent: `shards` in the cache folder of the user. shard_cache_gb: its size, in GB a host; absent:
        half of what would be free there if the cache were empty.
    """

    train: tuple[str, ...] = runtime(())
    source: str = runtime("webdataset")
    mixture: Mapping[str, PartSpec] = dataclasses.field(default_factory=dict)
    order: str = "auto"
    streams: int = 512
    block_shards: int = 4
    image_size: int = 224
    resize: str = "shortest"
    interpolation: str = "bicubic"
    resize_first: int | None = None
    preset: str | None = None
    size_schedule: SizeScheduleSpec | None = None
    text_schedule: TextScheduleSpec | None = None
    epoch_samples: int | None = runtime(None)
    text_key: str = "txt"
    label_key: str | None = None
    text_lengths: tuple[int, ...] = runtime(())
    max_bad_fraction: float = runtime(0.01)
    embeddings: str | None = runtime(None)
    threads: int = runtime(2)
    workers: int = runtime(0)
    cache_mb: int = runtime(0)
    shard_cache: str | None = runtime(None)
    shard_cache_gb: float | None = runtime(None)
    tokenizer: TokenizerSpec = TokenizerSpec()
    caption: CaptionSpec = CaptionSpec()
    augment: AugmentSpec = AugmentSpec()
    views: ViewsSpec = ViewsSpec()
    decode: DecodeSpec = DecodeSpec()
