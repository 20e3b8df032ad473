"""Values of other formats -> members as WebDataset has them, so that one recipe reads all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..decode import IMAGES

MAGIC = {b"\xff\xd8\xff": "jpg", b"\x89PNG": "png", b"RIFF": "webp", b"GIF8": "gif", b"BM": "bmp", b"II*\0": "tiff", b"MM\0*": "tiff"}
TEXT_NAMES = ("txt", "caption", "text")


def image_suffix(data: bytes) -> str | None:
    """The suffix that the first bytes of an image stand for; None where they are of no image."""
    return next((suffix for magic, suffix in MAGIC.items() if data.startswith(magic)), None)


def members_of(row: Mapping[str, Any]) -> dict[str, bytes]:
    """A row of a table as members: each value under its lower-case name, images also under `jpg`, `png` ... by their content.

    Text is UTF-8; a list of texts has a line each; numbers are written out; other values are JSON. Where there is no `txt`, the first of
    `caption`, `text`, else the only text of the row, is also `txt`. Left out are values that are None, and what bears the name of an image
    (`jpg`) and is none.
    """
    found: dict[str, bytes] = {}
    texts: list[str] = []
    for name, value in row.items():
        name, content = name.lower(), _image_bytes(value)
        if content is not None and (suffix := image_suffix(content)):
            found.setdefault(suffix, content)
        elif value is not None and name not in IMAGES:
            found[name] = _text(value)
            if isinstance(value, (str, bytes)):
                texts.append(name)
    caption = next((name for name in TEXT_NAMES if name in found), texts[0] if len(texts) == 1 else None)
    if caption is not None:
        found.setdefault("txt", found[caption])
    return found


def _image_bytes(value: Any) -> bytes | None:
    """The bytes of an image, plain or as Hugging Face's {"bytes", "path"}."""
    if isinstance(value, Mapping):
        value = value.get("bytes")
    return value if isinstance(value, bytes) else None


def _text(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(line, (str, bytes)) for line in value):
        return b"\n".join(b" ".join(_text(line).splitlines()) for line in value)
    if isinstance(value, str):
        return value.encode(errors="surrogatepass")  # half a surrogate pair: not UTF-8, and so a bad sample where it is the caption
    return json.dumps(value, default=_plain).encode()


def _plain(value: Any) -> Any:
    """What JSON has no word for: bytes as text, NumPy values as Python's, all else as it prints."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.tolist() if hasattr(value, "tolist") else str(value)
