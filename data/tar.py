"""The headers of a tar, read raw: several times as many members a second as `tarfile` reads."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Generator
from typing import NamedTuple

from .tar_names import TarError, gnu_name, header_name, pax_records

BLOCK = 512
REGULAR = b"07\0"
WITHOUT_PAYLOAD = b"123456"
LONG = b"xXLK"  # headers before the header
GZIP = b"\x1f\x8b"
USUAL = re.compile(rb"([0-7]{11})[\0 ].{12}([0-7]{6})\0", re.DOTALL)  # size, time, checksum as nearly all writers write them
OCTAL = re.compile(rb"[0-7]*")
EXTRA_BYTES = 1 << 20  # of a long name or a pax header; writers stay below 64 KiB
PADDING_BYTES = 1 << 20  # after the end of the archive: writers fill up to 10 KiB, GNU tar to 1 MiB at most

Read = Callable[[int, int], bytes]


class Member(NamedTuple):
    """A regular file in a tar: its name, the byte where its first header starts, and where its payload starts and ends."""

    name: str
    start: int
    payload: int
    end: int


def members(read: Read, size: int) -> Generator[Member, None, int]:
    """The regular files in the first `size` bytes, in order; `read(offset, size)` gives bytes. Links, devices and folders are left out.

    Long names in the GNU and the pax manner are followed. Returns where it ended: at a block of zeros, or behind the last byte.
    Raises TarError.
    """
    offset, start, kind, extra = 0, 0, 0, dict[str, str]()
    while offset < size:
        header = read(offset, BLOCK)
        if header.startswith(b"\0") and header.count(0) == BLOCK:
            if kind in LONG:
                raise TarError(f"has a damaged header at byte {offset}: the file that a long name belongs to is missing")
            return offset
        length, kind, payload = _length(header, offset), header[156], offset + BLOCK
        if kind in REGULAR:
            length = int(extra["size"]) if "size" in extra else length
        elif kind in WITHOUT_PAYLOAD:
            length = 0
        end = payload + length
        if end > size:
            raise TarError(f"is cut short at byte {size}")
        offset = payload + -(-length // BLOCK) * BLOCK
        if kind in b"xXLKg":
            if kind in b"xXLg":
                extra = _joined(extra, _extra(kind, read, payload, length), payload)
            continue
        if kind in b"S" or "sparse" in extra:
            raise TarError(f"holds a sparse file at byte {start}")
        if kind in REGULAR:
            name = extra["path"] if "path" in extra else header_name(header)
            if not name.endswith("/"):
                yield Member(name, start, payload, end)
        start, extra = offset, {}
    return offset


def stretch(read: Read, size: int) -> Generator[Member, None, None]:
    """The members in `size` bytes out of the middle of a tar. Raises TarError also where the tar ends there."""
    end = yield from members(read, size)
    if end < size:
        raise TarError(f"ends at byte {end}")


def archive(read: Read, size: int) -> Generator[Member, None, None]:
    """The members of a whole tar of `size` bytes. Raises TarError also where it does not end as a tar ends.

    A tar ends with two blocks of zeros and zeros behind them; one block will do, since nothing can be lost after it. A tar without is
    refused: a copy that was cut between two members looks just so.
    """
    if not size:
        raise TarError("is empty (0 bytes; a tar without members has two blocks of zeros)")
    end = yield from members(read, size)
    if end >= size:
        raise TarError(f"is cut short at byte {size}: the zeros that end a tar are missing")
    padding = read(end, min(size - end, PADDING_BYTES))
    if padding.count(0) != len(padding):
        raise TarError(f"goes on behind its end at byte {end}: it is damaged, or several tars in one file")


def _length(header: bytes, offset: int) -> int:
    """Bytes of the payload, by a header whose checksum is right. Raises TarError for anything else."""
    if len(header) < BLOCK:
        raise TarError(f"is cut short at byte {offset + len(header)}" if offset else "is not a tar")
    usual = USUAL.match(header, 124)
    length, checksum = (int(usual[1], 8), int(usual[2], 8)) if usual else (_number(header[124:136]), _number(header[148:156]))
    # The checksum is the sum of the header with blanks in its own place; the low half of adler32 is 1 + that sum, modulo 65,521 (0.4 us).
    adler = zlib.adler32(header[156:], zlib.adler32(b" " * 8, zlib.adler32(header[:148])))
    if adler & 0xFFFF != (1 + checksum) % 65521 or length < 0:
        if not offset:
            raise TarError("is compressed" if header.startswith(GZIP) else "is not a tar")
        raise TarError(f"has a damaged header at byte {offset}")
    return length


def _number(field: bytes) -> int:
    """An octal number, or GNU's binary one for large files; -1 where it is neither."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    return int(digits or b"0", 8) if OCTAL.fullmatch(digits) else -1


def _joined(extra: dict[str, str], more: dict[str, str], offset: int) -> dict[str, str]:
    """Both; readers of tar disagree about a file with two names or sizes, so there must be none."""
    if any(extra.get(name, value) != value for name, value in more.items()):
        raise TarError(f"has two headers that disagree on one file at byte {offset}")
    return extra | more


def _extra(kind: int, read: Read, payload: int, length: int) -> dict[str, str]:
    """What a header before the header says: `path`, `size` (digits), `sparse`."""
    if length > EXTRA_BYTES:
        raise TarError(f"has a header of {length} bytes at byte {payload}")
    content = read(payload, length)
    found = {"path": gnu_name(content)} if kind in b"L" else pax_records(content, payload)
    if found.get("path") == "" or (found and kind in b"g"):
        raise TarError(f"has a damaged header at byte {payload}")
    return found
