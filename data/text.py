"""Text members of a sample: captions, classes, identifiers."""

from __future__ import annotations

import json

from .bad import BadSample
from .sample import Sample


def text_of(sample: Sample, member: str) -> str:
    """What `member` says: a suffix (`txt`, `cls`), or `json:KEY` for one value of the sample's `json` (a number as text, a list as lines).

    Raises BadSample where it is absent or cannot be read.
    """
    suffix, _, key = member.partition(":")
    if suffix not in sample.members:
        raise BadSample(f"no member {suffix}")
    try:
        text = sample.members[suffix].decode("utf-8")
        found = _value(text, key) if suffix == "json" and key else text
        found.encode("utf-8")  # json can spell half a surrogate pair, which no tokenizer takes
    except UnicodeError:
        raise BadSample(f"{member} is not UTF-8 text") from None
    return found


def _value(text: str, key: str) -> str:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise BadSample("json cannot be parsed") from None
    value = values.get(key) if isinstance(values, dict) else None
    if isinstance(value, (str, int, float)):
        return str(value)
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return "\n".join(" ".join(item.splitlines()) for item in value)
    raise BadSample(f"json has no text {key!r}")
