"""`diptych data stats`: how much there is, read off the index."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from .report import print_values


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `data stats`."""
    parser.add_argument("patterns", nargs="+", metavar="PATTERN", help="shards, with globs and braces")
    parser.add_argument("--source", default="webdataset", help="the kind of source (webdataset)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Prints and returns shards, samples, samples a shard, and the fingerprint."""
    from ..data.sources.open_source import open_source

    source = open_source(args.source, args.patterns, setting="PATTERN")
    counts = np.asarray(source.counts)
    result = {
        "samples": len(source),
        "shards": len(counts),
        "samples_per_shard_min": int(counts.min()),
        "samples_per_shard_median": float(np.median(counts)),
        "samples_per_shard_max": int(counts.max()),
        "fingerprint": source.fingerprint,
    }
    print_values(result, title=" ".join(args.patterns))
    return result
