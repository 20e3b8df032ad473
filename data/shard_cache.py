"""Shards from far away on the disk of this host, shared by its processes: never more bytes than allowed, and whole shards alone."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import UserError
from .cache_folder import CacheFolder, NoRoom, name_of, record
from .retry import Changed, Patience
from .shard_download import Closed, download
from .shard_part import Part, record_size
from .storage import Blob, open_url

CHUNK = 8 << 20  # bytes of a request: at 100 MB/s and 50 ms a request, six tenths of the time is transfer; 8 at once hide the rest


class ShardCache:
    """Shards by url. One process fetches and releases; it may be sent to others, which then see by `path` what it holds.

    Each process that fetches holds its shards for itself: one that another process holds as well stays. Files: see CacheFolder.
    """

    def __init__(self, folder: str | Path, limit_bytes: int, *, patience: Patience | None = None, connections: int = 8, chunk: int = CHUNK):
        """limit_bytes: of all files in the folder. connections: requests at once for one shard, of `chunk` bytes each."""
        self._patience, self._connections, self._chunk = patience or Patience(), connections, chunk
        self.limit_bytes = limit_bytes
        self._folder, self._run = Path(os.path.abspath(folder)), uuid.uuid4().hex
        self._files: CacheFolder | None = CacheFolder(self._folder, limit=limit_bytes)
        self._held_in = str(self._files.mine)
        self._keys: dict[str, str] = {}
        self._closing, self._loading = threading.Event(), set[Blob]()

    def path(self, url: str) -> str | None:
        """The local file with the whole shard, if the process that fetches holds it now."""
        path = os.path.join(self._held_in, name_of(url))
        return path if os.path.exists(path) else None

    def fits(self, size: int) -> bool:
        """Whether a shard of `size` bytes has room in the cache while it is empty."""
        return size + record_size(size, self._chunk) <= self.limit_bytes

    def fetch(self, url: str, size: int, etag: str | None) -> str:
        """Loads the shard of `size` bytes and version `etag` (None: that of now), holds it, and returns its path.

        Goes on where an interrupted process stopped. What a store gives no version is loaded anew by each process that fetches.
        Raises NoRoom, Changed (another size, version or content than said), Closed, OSError, UserError where the disk is full.
        """
        files = self._own()
        seen = None if etag else open_url(url, patience=self._patience)
        etag = etag or (seen.etag if seen else "")
        key = name_of(url, size, etag or self._run)
        if not files.hold(key, url=url):
            if not self.fits(size):
                raise NoRoom(f"{url} has {size} bytes, too many for the whole shard cache, {self.limit_bytes}")
            with files.part(key, url=url, size=size, beside=record_size(size, self._chunk)) as path:
                if path is not None:
                    with self._room():
                        self._load(path, seen or open_url(url, patience=self._patience), size, etag)
                    files.finish(key, url=url)
        self._keys[url] = key
        return os.path.join(self._held_in, name_of(url))

    def release(self, url: str) -> None:
        """Lets go of a shard, which goes away if no other process holds it."""
        if key := self._keys.pop(url, None):
            self._own().release(key, url=url)

    def close(self) -> None:
        """Ends what is being fetched, which raises Closed, and lets go of all shards; they stay on disk for the next process."""
        self._closing.set()
        for blob in tuple(self._loading):
            blob.close()
        if self._files is not None:
            self._files.close()
            self._files = None

    def _own(self) -> CacheFolder:
        if self._files is None:
            raise Closed("this shard cache is closed, or belongs to another process")
        return self._files

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise UserError(
                f"data.shard_cache = {self._folder} is on a disk that is full ({error.strerror}); accepted is a folder with room for "
                f"{self.limit_bytes / 1e9:.1f} GB, or a smaller data.shard_cache_gb"
            ) from error

    def _load(self, path: Path, blob: Blob, size: int, etag: str) -> None:
        if (blob.size, blob.etag) != (size, etag):
            raise Changed(
                f"{blob.url} has changed since it was indexed: it had {size} bytes, {etag}; it has {blob.size} bytes, {blob.etag}"
            )
        part = Part(path, path.with_name(record(path.name)), size=size, chunk=self._chunk)
        sync = False
        self._loading.add(blob)
        try:
            download(blob, part, connections=self._connections, closing=self._closing)
            sync = True
        finally:
            part.close(sync=sync)
            self._loading.discard(blob)
            blob.close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_files", "_keys", "_closing", "_loading")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _files=None, _keys={}, _closing=threading.Event(), _loading=set())
