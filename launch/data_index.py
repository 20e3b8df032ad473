"""`diptych data index`: one manifest of shards, which training can name instead of them."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

from ..data.manifest_file import is_manifest
from ..errors import UserError
from .report import print_values
from .shard_progress import ShardProgress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `data index`."""
    parser.add_argument(
        "patterns", nargs="+", metavar="PATTERN", help="shards: paths or URLs, with globs and braces, or @FILE with a pattern a line"
    )
    parser.add_argument("--out", metavar="FILE.json", help="the manifest (in the cache folder, where training on PATTERN finds it)")
    parser.add_argument("--threads", metavar="N", type=int, default=16, help="shards that are read at a time (16)")
    parser.add_argument("--scan", action="store_true", help="read all headers, whatever other tools wrote beside the shards")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Writes the manifest, or brings it up to date; returns counts, fingerprint and seconds. Interrupted, the same command goes on."""
    from ..data.beside import Beside
    from ..data.index_manifest import cached_manifest, newest_manifest
    from ..data.indexing import Indexing
    from ..data.shards import find

    out = _writable(args.out or str(cached_manifest(args.patterns)), named="--out" if args.out else "DIPTYCH_CACHE")
    if args.threads < 1:
        raise UserError(f"--threads = {args.threads} is not a number of threads; accepted is 1 or more")
    start = time.monotonic()
    found = find(args.patterns, setting="PATTERN")
    with ShardProgress() as progress:
        beside = None if args.scan else Beside()
        indexing = Indexing(out=out, setting="PATTERN", beside=beside, threads=args.threads, begin=progress.begin, done=progress.done)
        manifest = indexing.run(found, known=None if args.scan else newest_manifest(out))
    result = {
        "manifest": str(out),
        "shards": len(manifest.shards),
        "samples": manifest.samples,
        "bytes": sum(shard.bytes for shard in manifest.shards),
        "shards_read": progress.read,
        "shards_without_samples": sum(not shard.samples for shard in manifest.shards),
        "counts_of_other_tools": sum(shard.counted != "headers" for shard in manifest.shards),
        "repeated_keys": sum(shard.repeated for shard in manifest.shards),
        "extensions": " ".join(sorted({suffix for shard in manifest.shards for suffix in shard.extensions})),
        "fingerprint": manifest.fingerprint,
        "seconds": round(time.monotonic() - start, 3),
    }
    print_values(result, title=" ".join(args.patterns))
    return result


def _writable(name: str, *, named: str) -> Path:
    out = Path(name).absolute()
    if out.suffix != ".json" or "://" in name:
        raise UserError(f"{named} = {name} is not the name of a manifest; accepted is a local file that ends in .json")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{named} = {out} cannot be written ({error.strerror}); accepted is a file in a folder that can be") from error
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise UserError(f"{named} = {out} cannot be written; accepted is a file in a folder that can be")
    if out.exists() and not is_manifest(out):
        raise UserError(f"{named} = {out} is there already and is no manifest; accepted is a manifest, or a new file")
    return out
