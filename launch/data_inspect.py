"""`diptych data inspect`: what is in the samples, which are bad, and a contact sheet to look at."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError
from .report import print_values

if TYPE_CHECKING:
    from ..data.source import Source
    from ..data.survey import Survey

ROWS, COLUMNS, SIDE = 6, 8, 128
LISTED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `data inspect`."""
    parser.add_argument("patterns", nargs="+", metavar="PATTERN", help="shards, with globs and braces")
    parser.add_argument("--source", default="webdataset", help="the kind of source (webdataset)")
    parser.add_argument("--text-key", default="txt", help="the member with the caption (txt)")
    parser.add_argument("--samples", metavar="N", type=int, help="look at N samples, evenly spread (all)")
    parser.add_argument("--out", metavar="FILE.png", type=Path, help="draw a contact sheet of 48 samples")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Prints and returns counts, sizes, caption lengths and bad samples."""
    if args.samples is not None and args.samples < 1:
        raise UserError(f"--samples = {args.samples} is not a number of samples; accepted is 1 or more")
    if args.out is not None and not os.access(args.out.absolute().parent, os.W_OK):
        raise UserError(f"--out = {args.out} cannot be written; accepted is a .png in a folder that can be written to")

    from rich.console import Console
    from rich.progress import Progress

    from ..data.sources.open_source import open_source
    from ..data.spec import DecodeSpec
    from ..data.survey import survey

    source = open_source(args.source, args.patterns, setting="PATTERN")
    numbers = spread(len(source), args.samples or len(source))
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("looking", total=len(numbers))
        threads = os.cpu_count() or 1
        found = survey(source, numbers, text_key=args.text_key, decode=DecodeSpec(), threads=threads, done=lambda: progress.advance(task))
    result = summary(source, found)
    print_values(result, title=" ".join(args.patterns))
    for (shard, reason), count in list(found.bad_by_shard.items())[:LISTED]:
        print(f"bad: {count} in {shard}: {reason}")
    if args.out is not None:
        contact_sheet(source, found, args.out)
        print(f"contact sheet: {args.out}")
    return {**result, "bad_by_shard": [[shard, reason, count] for (shard, reason), count in found.bad_by_shard.items()]}


def spread(total: int, count: int) -> list[int]:
    """At most `count` numbers of 0..total-1, evenly spread."""
    return np.unique(np.linspace(0, total - 1, min(count, total)).astype(int)).tolist()


def summary(source: Source, found: Survey) -> dict[str, Any]:
    """The numbers of a survey, by name."""
    suffixes = sorted({suffix for sample in found.seen for suffix in sample.suffixes})
    return {
        "samples": len(source),
        "shards": len(source.counts),
        "looked_at": len(found.seen),
        "bad": len(found.bad),
        "members": " ".join(suffixes),
        **{name: value for field in ("width", "height", "words") for name, value in found.quantiles(field).items()},
    }


def contact_sheet(source: Source, found: Survey, path: Path) -> None:
    """Draws up to 48 good samples with their captions."""
    from matplotlib.figure import Figure

    from ..data.decode import image_of

    good = found.good
    chosen = [good[place] for place in spread(len(good), ROWS * COLUMNS)] if good else []
    figure = Figure(figsize=(COLUMNS * 1.7, ROWS * 1.9), layout="constrained")
    for axes, sample in zip(figure.subplots(ROWS, COLUMNS).ravel(), [*chosen, *[None] * (ROWS * COLUMNS - len(chosen))]):
        axes.axis("off")
        if sample is not None:
            image = image_of(source.read(sample.number))
            image.thumbnail((SIDE, SIDE))
            axes.imshow(np.asarray(image))
            axes.set_title(sample.caption[:28], fontsize=6, parse_math=False)
    figure.savefig(path, dpi=110)
