"""Finds what other tools wrote beside shards, with few requests: a folder that lacks a kind of file is not asked for it again."""

from __future__ import annotations

import logging
import os
import posixpath
import threading
from collections.abc import Mapping

from .remote_glob import list_remote
from .retry import Refused
from .scan import Scan
from .sidecars import Count, energon_scan, img2dataset_count, wids_counts
from .storage import is_local, open_url
from .tar import Read

LOG = logging.getLogger("diptych.data")
JSON_BYTES, JSON_FILES = 64 << 20, 16  # of a folder's JSON files, which may be lists of shards


class Beside:
    """The files beside shards. Safe to share between threads."""

    def __init__(self) -> None:
        self._missing: set[tuple[str, str]] = set()
        self._lists: dict[str, Mapping[str, Count]] = {}
        self._proved, self._noted = set[str](), set[str]()
        self._lock = threading.RLock()

    def scan(self, url: str, *, read: Read, size: int) -> Scan | None:
        """The starts of samples, where there is a file that says them. Raises TarError where it does not fit the shard."""
        return energon_scan(url, self._read, read=read, size=size)

    def count(self, url: str) -> Count | None:
        """The number of samples, where there is a file that says it. Raises TarError where that file is broken."""
        return img2dataset_count(url, self._read) or self._list(posixpath.dirname(url)).get(posixpath.basename(url))

    def to_prove(self, url: str) -> bool:
        """Whether the shard is the first of its folder: it shows whether counts there are true."""
        with self._lock:
            first = url.rpartition("/")[0] not in self._proved
            self._proved.add(url.rpartition("/")[0])
            return first

    def _read(self, url: str) -> bytes | None:
        """The file's content. A folder far away that lacks one such file is taken to lack them all.

        So is one that does not let us read it: who may not list a bucket, or has signed urls of the shards alone, is told 403 of files that
        are not there, and some servers answer with a page.
        """
        folder, _, name = url.rpartition("/")
        kind = (folder, name[name.find(".tar") :] if ".tar" in name else name[name.rfind("_") :])
        if not is_local(url) and (kind in self._missing or "?" in name):  # a query says nothing of another file
            return None
        try:
            return _content(url)
        except FileNotFoundError:
            self._missing.add(kind)
        except (PermissionError, Refused) as error:
            self._missing.add(kind)
            self._note(folder, error)
        return None

    def _list(self, folder: str) -> Mapping[str, Count]:
        with self._lock:
            if folder not in self._lists:
                self._lists[folder] = self._found(folder)
            return self._lists[folder]

    def _found(self, folder: str) -> Mapping[str, Count]:
        found: dict[str, Count] = {}
        for url in _json_files(folder):
            try:
                found |= wids_counts(url, _content(url))
            except (FileNotFoundError, PermissionError, Refused) as error:
                self._note(folder, error)
        return found

    def _note(self, folder: str, error: OSError) -> None:
        with self._lock:
            again = folder in self._noted
            self._noted.add(folder)
        if not again:
            LOG.info("what other tools may have written beside the shards in %s is not used: it cannot be read (%s)", folder, error)


def _content(url: str) -> bytes:
    blob = open_url(url)
    try:
        return blob.pread(0, blob.size)
    finally:
        blob.close()


def _json_files(folder: str) -> list[str]:
    """The JSON files of a folder that may be lists of shards; none where the folder cannot be listed."""
    try:
        names = [
            name for name, size in _listed(folder) if name.endswith(".json") and not name.endswith("_stats.json") and size <= JSON_BYTES
        ]
    except OSError:
        return []
    return sorted(names)[:JSON_FILES]


def _listed(folder: str) -> list[tuple[str, int]]:
    """Files and their bytes."""
    if folder.startswith(("http://", "https://")):
        return []
    if not is_local(folder):
        return [(row.url, row.bytes or 0) for row in list_remote("ls", folder)]
    with os.scandir(folder) as entries:
        return [(entry.path, entry.stat().st_size) for entry in entries if entry.name.endswith(".json") and entry.is_file()]
