"""The arguments of a data tool that say which samples it is about."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    from ..data.source import Source


def add_source(parser: argparse.ArgumentParser) -> None:
    """`PATTERN...` and `--source`."""
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="shards, with globs and braces")
    parser.add_argument("--source", default="webdataset", metavar="KIND", help="the kind of source, or KIND:WHERE (webdataset)")


def given_source(args: argparse.Namespace) -> Source:
    """The source that the arguments name. Raises UserError."""
    from ..data.sources.open_source import open_source

    if args.patterns and ":" in args.source:
        raise UserError(f"--source = {args.source} says where the samples are, and so does {args.patterns[0]}; accepted is one of the two")
    return open_source(args.source, args.patterns, setting="--source", places_setting="PATTERN")


def title(args: argparse.Namespace) -> str:
    """What the result is of."""
    return " ".join(args.patterns) or args.source
