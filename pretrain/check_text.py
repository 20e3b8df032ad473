"""What must hold of the settings that say which text is a caption and how it becomes tokens."""

from __future__ import annotations

import math

from ..data.clean import CLEANINGS
from ..data.spec import CaptionSpec, DataSpec
from ..data.tokenizer_presets import check_tokenizer_spec
from ..errors import UserError
from ..nearest import unknown_value

LINES = ("all", "first", "random")


def check_text(data: DataSpec) -> None:
    """Raises UserError for the first setting of `data.caption` and `data.tokenizer` that cannot be trained with."""
    check_tokenizer_spec(data.tokenizer)
    _check_member("data.text_key", data.text_key)
    if data.label_key is not None:
        _check_member("data.label_key", data.label_key)
    _check_caption(data.caption)


def _check_caption(caption: CaptionSpec) -> None:
    for name, value, choices in (("lines", caption.lines, LINES), ("clean", caption.clean, tuple(CLEANINGS))):
        if value not in choices:
            raise unknown_value(f"data.caption.{name}", value, choices)
    for member in caption.sources:
        _check_member("data.caption.sources", member)
    if caption.sources and not any(caption.sources.values()):
        raise UserError(f"data.caption.sources.{next(iter(caption.sources))} = 0.0 leaves no text to draw; accepted is a number above 0")
    if not math.isfinite(total := sum(caption.sources.values())):
        raise UserError(f"data.caption.sources = {dict(caption.sources)} sums to {total}; accepted are shares whose sum is a number")
    for template in caption.templates:
        if "{}" not in template:
            raise UserError(f"data.caption.templates has {template!r} without a {{}} for the caption; accepted are sentences with {{}}")


def _check_member(setting: str, member: str) -> None:
    suffix, colon, key = member.partition(":")
    if suffix != suffix.lower():
        raise UserError(f"{setting} has {member!r}, and members have names without capitals; accepted is {suffix.lower() + colon + key!r}")
    if not suffix or (colon and (suffix != "json" or not key)):
        raise UserError(f"{setting} has {member!r}, which names no text; accepted is a member of the sample such as txt, or json:KEY")
