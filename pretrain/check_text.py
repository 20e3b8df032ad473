"""What must hold of the settings that say which text is a caption, how it becomes tokens, and how many of them."""

from __future__ import annotations

import itertools
import math

from ..data.clean import CLEANINGS
from ..data.spec import CaptionSpec, DataSpec
from ..data.tokenizer_presets import check_tokenizer_spec
from ..errors import UserError
from ..nearest import unknown_value
from .spec import Recipe

LINES = ("all", "first", "random")


def check_text(data: DataSpec) -> None:
    """Raises UserError for the first setting of `data.caption` and `data.tokenizer` that cannot be trained with."""
    check_tokenizer_spec(data.tokenizer)
    _check_member("data.text_key", data.text_key)
    if data.label_key is not None:
        _check_member("data.label_key", data.label_key)
    _check_caption(data.caption)


def check_text_lengths(recipe: Recipe) -> None:
    """Cutting a batch's captions changes no number for causal text that is read at its end token, and for no other."""
    lengths, text = recipe.data.text_lengths, recipe.model.text
    if not lengths:
        return
    if text.attention != "causal" or text.pool != "eos":
        raise UserError(
            f"data.text_lengths = {lengths} needs model.text.attention = causal and model.text.pool = eos, "
            f"not {text.attention} and {text.pool}; accepted is an empty list, --config.data.text_lengths=[]"
        )
    rising = all(shorter < longer for shorter, longer in itertools.pairwise(lengths))
    if lengths[0] < 1 or not rising or lengths[-1] != text.context_length:
        raise UserError(
            f"data.text_lengths = {lengths} does not rise to model.text.context_length = {text.context_length}; "
            f"accepted are rising lengths of which the last is {text.context_length}"
        )


def check_tokenizer(recipe: Recipe, *, vocab_size: int, eos_id: int, pad_id: int) -> None:
    """A tokenizer of `vocab_size` tokens has a row for each in the token table, and ends and pads captions as the model reads them."""
    text, path = recipe.model.text, recipe.data.tokenizer.path
    if vocab_size > text.vocab_size:
        raise UserError(
            f"model.text.vocab_size = {text.vocab_size} is less than the {vocab_size} tokens of data.tokenizer.path = {path}; "
            f"accepted is {vocab_size} or more"
        )
    reads_the_end = text.pool in ("eos", "cls") or recipe.objective.terms.get("captioning")
    if reads_the_end and eos_id != text.eos_id:
        raise UserError(
            f"model.text.eos_id = {text.eos_id} is not the end token of data.tokenizer.path = {path}, which is {eos_id}; "
            f"accepted is {eos_id}"
        )
    if text.attention == "bidirectional_masked" and pad_id != text.pad_id:
        raise UserError(
            f"model.text.pad_id = {text.pad_id} is not the padding of data.tokenizer.path = {path}, which is {pad_id}; accepted is {pad_id}"
        )


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
