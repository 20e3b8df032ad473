"""`diptych data stats`: how much there is, read off the index."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from .data_source import add_source, given_source, title
from .report import print_values


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `data stats`."""
    add_source(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Prints and returns shards, samples, samples a shard, and the fingerprint."""
    source = given_source(args)
    counts = np.asarray(source.counts)
    result = {
        "samples": len(source),
        "shards": len(counts),
        "samples_per_shard_min": int(counts.min()),
        "samples_per_shard_median": float(np.median(counts)),
        "samples_per_shard_max": int(counts.max()),
        "fingerprint": source.fingerprint,
    }
    print_values(result, title=title(args))
    return result
