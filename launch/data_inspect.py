"""`diptych data inspect`: what is in the samples, which are bad, and a contact sheet to look at."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .data_source import add_source, given_source, title
from .report import print_values

if TYPE_CHECKING:
    from ..data.source import Source
    from ..data.survey import Seen, Survey

ROWS, COLUMNS, SIDE = 6, 8, 128
LISTED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `data inspect`."""
    add_source(parser)
    parser.add_argument("--text-key", default="txt", help="the member with the caption (txt)")
    parser.add_argument("--samples", metavar="N", type=int, help="look at N samples, evenly spread (all)")
    parser.add_argument("--out", metavar="FILE.png", type=Path, help="draw a contact sheet of 48 samples")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Prints and returns counts, sizes, caption lengths and bad samples."""
    if args.samples is not None and args.samples < 1:
        raise UserError(f"--samples = {args.samples} is not a number of samples; accepted is 1 or more")
    if args.out is not None and (args.out.suffix != ".png" or not os.access(args.out.absolute().parent, os.W_OK)):
        raise UserError(f"--out = {args.out} cannot be written; accepted is a .png in a folder that can be written to")

    from rich.console import Console
    from rich.progress import Progress

    from ..data.read_in_order import readers
    from ..data.spec import DecodeSpec
    from ..data.survey import survey

    source = given_source(args)
    numbers = spread(len(source), args.samples or len(source))
    drawn = set(spread(len(numbers), 2 * ROWS * COLUMNS))
    sheet: list[Seen] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("looking", total=len(numbers))

        def each(seen: Seen) -> None:
            if progress.tasks[task].completed in drawn and seen.reason is None:
                sheet.append(seen)
            progress.advance(task)

        found = survey(
            source, numbers, text_key=args.text_key, decode=DecodeSpec(), threads=readers(source, threads=os.cpu_count() or 1), each=each
        )
    result = summary(source, found)
    print_values(result, title=title(args))
    for (shard, reason), count in list(found.bad_by_shard.items())[:LISTED]:
        print(f"bad: {count} in {shard}: {reason}")
    for bad in found.bad[:LISTED]:
        print(f"bad: {bad.key} in {bad.shard}: {bad.reason}")
    if args.out is not None:
        contact_sheet(source, sheet, args.out)
        print(f"contact sheet: {args.out}")
    by_shard = [[shard, reason, count] for (shard, reason), count in found.bad_by_shard.items()]
    return {**result, "bad_by_shard": by_shard, "bad_samples": [[bad.shard, bad.key, bad.reason] for bad in found.bad]}


def spread(total: int, count: int) -> Sequence[int]:
    """At most `count` numbers of 0..total-1, evenly spread."""
    if count >= total:
        return range(total)
    return [place * (total - 1) // max(count - 1, 1) for place in range(count)]


def summary(source: Source, found: Survey) -> dict[str, Any]:
    """The numbers of a survey, by name."""
    return {
        "samples": len(source),
        "shards": len(source.counts),
        "looked_at": found.samples,
        "bad": found.bad_samples,
        "members": " ".join(sorted(found.suffixes)),
        **{name: value for field in ("width", "height", "words") for name, value in found.quantiles(field).items()},
    }


def contact_sheet(source: Source, good: Sequence[Seen], path: Path) -> None:
    """Draws up to 48 of the good samples with their captions."""
    from matplotlib.figure import Figure

    from ..data.decode import image_of

    chosen = [good[place] for place in spread(len(good), ROWS * COLUMNS)] if good else []
    figure = Figure(figsize=(COLUMNS * 1.7, ROWS * 1.9), layout="constrained")
    pictures = figure.subplots(ROWS, COLUMNS).ravel()
    for axes in pictures:
        axes.axis("off")
    for axes, sample in zip(pictures, chosen):
        image = image_of(source.read(sample.number))
        image.thumbnail((SIDE, SIDE))
        axes.imshow(image)
        axes.set_title(sample.caption[:28], fontsize=6, parse_math=False)
    figure.savefig(path, dpi=110)
