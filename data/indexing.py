"""Makes a manifest of shards: each is looked at by a thread, once, however often that is interrupted."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ..errors import UserError
from .beside import Beside
from .journal import Journal, Notes
from .known import Known
from .manifest import Manifest, Shard, Starts, fingerprint, in_order
from .manifest_file import write_manifest
from .read_shard import look_up, read_shard
from .shards import ACCEPTED, Found
from .tar_names import TarError

LOG = logging.getLogger("diptych.data")
THREADS = 16  # they wait for disks and networks; the reading of headers itself is Python's, one core


@dataclasses.dataclass(frozen=True)
class Refused:
    """A shard that cannot be used, and why: the end of a sentence that begins with its name."""

    url: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Indexing:
    """How a manifest is made.

    out: its file; None: in memory. setting: the path in the recipe, for messages. beside: what other tools wrote; None: not looked at.
    begin: called once with the numbers of shards that have to be read, and of all. done: called after each of the former.
    """

    out: Path | None
    setting: str
    beside: Beside | None = None
    threads: int = THREADS
    begin: Callable[[int, int], object] = lambda todo, total: None
    done: Callable[[Shard], object] = lambda shard: None

    def run(self, found: Sequence[Found], *, known: Manifest | None = None) -> Manifest:
        """The manifest of `found`; shards that are in `known` as they are now are not read.

        Raises UserError where shards are no whole tars (all others are in the journal then), OSError where they cannot be read.
        """
        with ThreadPoolExecutor(self.threads) as pool, self._notes() as notes:
            located = list(pool.map(self._look_up, found))
            old = Known(known, notes)
            unchanged = [old.unchanged(file) for file in located]
            todo = [file for file, shard in zip(located, unchanged, strict=True) if shard is None]
            if not todo and known is not None and len(located) == len(known.shards):
                return known
            self.begin(len(todo), len(located))
            outcomes = list(pool.map(lambda file: self._take(file, notes), todo))
            self._refuse([outcome for outcome in outcomes if isinstance(outcome, Refused)], total=len(located))
            fresh = [outcome for outcome in outcomes if isinstance(outcome, Shard)]
            _warn(fresh, setting=self.setting)
            return self._finish(in_order([*fresh, *(shard for shard in unchanged if shard is not None)]), old.starts)

    def _notes(self) -> Notes | Journal:
        try:
            return Notes() if self.out is None else Journal(self.out)
        except OSError:
            return Notes()

    def _look_up(self, file: Found) -> Found:
        try:
            return look_up(file)
        except (FileNotFoundError, PermissionError) as error:
            raise UserError(f"{self.setting} has {file.url!r}, which cannot be read ({error}); {ACCEPTED}") from error
        except UserError as error:
            raise UserError(f"{self.setting} has {file.url!r}: {error}") from error

    def _take(self, file: Found, notes: Notes | Journal) -> Shard | Refused:
        try:
            shard, starts = read_shard(file, self.beside)
        except TarError as error:
            return Refused(file.url, str(error))
        notes.add(shard, starts)
        self.done(shard)
        return shard

    def _refuse(self, refused: Sequence[Refused], *, total: int) -> None:
        for shard in refused[1:10]:
            LOG.warning("%s: %s %s", self.setting, shard.url, shard.reason)
        if refused:
            more = f" (and {len(refused) - 1} more of {total} shards are refused)" if len(refused) > 1 else ""
            raise UserError(f"{self.setting} has {refused[0].url!r}, which {refused[0].reason}{more}; {ACCEPTED}")

    def _finish(self, shards: Sequence[Shard], starts: Callable[[Shard], np.ndarray]) -> Manifest:
        if self.out is None:
            return Manifest(tuple(shards), Starts(np.concatenate([starts(shard) for shard in shards])), fingerprint(shards))
        return write_manifest(self.out, shards, starts)


def _warn(shards: Iterable[Shard], *, setting: str) -> None:
    repeated = [shard for shard in shards if shard.repeated]
    if repeated:
        LOG.warning(
            "%s: %d samples have a key that came before in their shard (%d shards, such as %s); each is a sample of its own",
            setting, sum(shard.repeated for shard in repeated), len(repeated), repeated[0].url,
        )  # fmt: skip
