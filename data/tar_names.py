"""The names in a tar's headers, and what WebDataset makes of them."""

from __future__ import annotations

import re

PAX_RECORD = re.compile(rb"(\d{1,8}) ([^=\n]+)=")
PAX_SIZE = re.compile(rb"\d{1,18}")
METADATA = re.compile(r"__[^/]*__($|/)")
USTAR = b"ustar\0"


class TarError(ValueError):
    """The bytes are not a tar, or not a whole one; the message ends a sentence that begins with the name of the file."""


def split_name(name: str) -> tuple[str, str] | None:
    """(key, suffix) by WebDataset's rules: split at the first dot of the file's own name, folders kept; None for files it passes over.

    Names that climb (`../x`) are passed over too: nobody who makes a data set means them.
    """
    folder, slash, base = name.rpartition("/")
    stem, dot, suffix = base.partition(".")
    if not stem or not dot or (name.startswith("__") and METADATA.match(name)) or (".." in folder and ".." in folder.split("/")):
        return None
    return folder + slash + stem, suffix.lower()


def header_name(header: bytes) -> str:
    """The name in a header of 512 bytes."""
    name = header[:100].partition(b"\0")[0]
    if header[345] and header[257:263] == USTAR:
        name = header[345:500].partition(b"\0")[0] + b"/" + name
    return _text(name)


def gnu_name(payload: bytes) -> str:
    """The name in GNU's header for a long one."""
    return _text(payload.split(b"\0", 1)[0])


def pax_records(payload: bytes, offset: int) -> dict[str, str]:
    """`path`, `size` (digits), and `sparse` where it says that the file is one. Raises TarError; `offset` is for its message."""
    records, at = dict[str, str](), 0
    while record := PAX_RECORD.match(payload, at):
        end, name = at + int(record[1]), record[2]
        if end > len(payload) or end <= record.end() or payload[end - 1] != ord("\n"):
            raise TarError(f"has a damaged header at byte {offset}")
        value, at = payload[record.end() : end - 1], end
        if name == b"path":
            records["path"] = _text(value)
        elif name == b"size":
            if not PAX_SIZE.fullmatch(value):
                raise TarError(f"has a damaged header at byte {offset}")
            records["size"] = value.decode()
        elif name.startswith(b"GNU.sparse."):
            records["sparse"] = name.decode("utf-8", "replace")
    if payload[at : at + 1].strip(b"\0"):
        raise TarError(f"has a damaged header at byte {offset}")
    return records


def _text(name: bytes) -> str:
    """Bytes that are no UTF-8 become `\\xff`: such a key can be printed and written as JSON."""
    return name.decode("utf-8", "backslashreplace")
