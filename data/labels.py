"""The class of a sample as a number, where the data say one: what `unicl` compares beside the texts."""

from __future__ import annotations

from .bad import BadSample
from .sample import Sample
from .text import text_of

NAME = "label"  # in a batch, int32[b]
ABSENT = -1
LARGEST = (1 << 31) - 1


def label_of(sample: Sample, member: str) -> int:
    """What `member` (`cls`, or `json:KEY`) says, -1 where the sample lacks it; a negative number is taken for that.

    Raises BadSample where it is no whole number, or above 2^31 - 1.
    """
    try:
        text = text_of(sample, member)
    except BadSample:
        return ABSENT
    try:
        label = int(text)
    except ValueError:
        raise BadSample(f"{member} is no whole number") from None
    if label > LARGEST:
        raise BadSample(f"{member} is above {LARGEST}")
    return max(label, ABSENT)
