"""The caption of a sample: of which text, which line, in which sentence.

What a sample could say (`captions_of`) never changes and may be kept by its number; what it does say (`choose`) is drawn for each position
of the run. Token ids may be kept by the sample's number only where `is_random` is False.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from .bad import BadSample
from .clean import CLEANINGS
from .sample import Sample
from .spec import CaptionSpec, DataSpec
from .text import text_of

MAX_LETTERS = 1 << 16  # of a text: 100 times what a row of tokens holds; a page that was taken for a caption would be mended whole


@dataclasses.dataclass(frozen=True)
class Captions:
    """What the caption of one sample is drawn from. texts: of each source, its lines. shares: rising to 1, of as many sources."""

    texts: tuple[tuple[str, ...], ...]
    shares: tuple[float, ...]

    @property
    def nbytes(self) -> int:
        """Memory, about."""
        return sum(len(line) + 50 for lines in self.texts for line in lines)


def caption_of(sample: Sample, spec: DataSpec, random: np.random.Generator | None) -> str:
    """The caption that `random` draws: `order.generator(seed, position, "caption")`. None: for evaluation, always the same one.

    Raises BadSample where the sample has none of the texts.
    """
    return choose(captions_of(sample, spec), spec.caption, random)


def is_random(spec: CaptionSpec) -> bool:
    """Whether the caption of a sample may change from one position of the run to another."""
    return sum(share > 0 for share in spec.sources.values()) > 1 or spec.lines == "random" or len(spec.templates) > 1


def captions_of(sample: Sample, spec: DataSpec) -> Captions:
    """All that the caption may be. A text that is absent, blank or too long gives its share to the others.

    Raises BadSample where all are absent or too long.
    """
    texts, weights, missing = [], [], []
    for member, weight in caption_members(spec).items():
        try:
            text = _bounded(text_of(sample, member), member)
        except BadSample as bad:
            missing.append(bad.reason)
            continue
        texts.append(_lines(text, spec.caption.lines))
        weights.append(weight)
    if not texts:
        raise BadSample(", ".join(missing))
    said = [place for place, lines in enumerate(texts) if any(map(str.strip, lines))] or range(len(texts))
    total = sum(weights[place] for place in said)
    shares = itertools.accumulate(weights[place] / total for place in said)
    return Captions(tuple(texts[place] for place in said), tuple(shares))


def caption_members(spec: DataSpec) -> dict[str, float]:
    """Member -> probability, most probable first, of those that `data.caption.sources` or `data.text_key` name."""
    sources = {member: share for member, share in spec.caption.sources.items() if share > 0} or {spec.text_key: 1.0}
    return dict(sorted(sources.items(), key=lambda source: (-source[1], source[0])))


def choose(captions: Captions, spec: CaptionSpec, random: np.random.Generator | None) -> str:
    """One caption, in its sentence and cleaned. None: the first line of the most probable text in the first template."""
    source, line, template = (0.0, 0.0, 0.0) if random is None else random.random(3).tolist()  # three, whatever is drawn of them
    lines = captions.texts[next((place for place, share in enumerate(captions.shares) if source < share), -1)]
    caption = lines[int(line * len(lines))]
    if spec.templates:
        caption = spec.templates[int(template * len(spec.templates))].replace("{}", caption)
    return CLEANINGS[spec.clean](caption)


def _bounded(text: str, member: str) -> str:
    if len(text) > MAX_LETTERS:
        raise BadSample(f"{member} has more than {MAX_LETTERS} letters")
    return text


def _lines(text: str, which: str) -> tuple[str, ...]:
    """What may be drawn of a text: one line of it, or the text whole."""
    if which == "all":
        return (text,)
    lines = tuple(line.strip() for line in text.splitlines() if line.strip()) or ("",)
    return lines[:1] if which == "first" else lines
