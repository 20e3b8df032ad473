"""Cleanings of text, each as one family of released models has it."""

from __future__ import annotations

import html
import string
from collections.abc import Callable, Mapping

import ftfy

NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
LETTERS_READ = 1 << 22  # that ftfy may read to resolve entities within entities, each in a pass over the text: 50 ms


def clip(text: str) -> str:
    """open_clip's `lower`: mojibake and entities mended, white space one blank, lower case."""
    if not (text.isascii() and text.isprintable() and "&" not in text):  # ftfy leaves plain ASCII as it is, at 25 us a caption
        text = html.unescape(html.unescape(mended(text)))
    return " ".join(text.split()).lower()


def mended(text: str) -> str:
    """ftfy's `fix_text`; where entities may be nested so deeply that it would read more than 2^22 letters, entities are left to the caller.

    Each pass takes an ampersand and a semicolon away, however they are spelled. 250 letters of entities alone are far below the limit.
    """
    passes = text.count("&") + text.count(";") + sum(letter > "\x7f" for letter in text)
    return ftfy.fix_text(text) if passes * len(text) <= LETTERS_READ else ftfy.fix_text(text, unescape_html=False)


def siglip(text: str) -> str:
    """big_vision's `canonicalize_text`: underscores are blanks, ASCII punctuation goes, lower case, white space one blank."""
    return " ".join(text.replace("_", " ").translate(NO_PUNCTUATION).lower().split())


def big_vision(text: str) -> str:
    """Lower case without a final dot, as big_vision's captions of COCO."""
    return text.lower().strip().removesuffix(".").rstrip()


def none(text: str) -> str:
    """The text as it is."""
    return text


CLEANINGS: Mapping[str, Callable[[str], str]] = {"none": none, "clip": clip, "siglip": siglip, "big_vision": big_vision}
