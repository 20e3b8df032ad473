"""`diptych data make`: samples of any source as WebDataset shards."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

from ..errors import UserError
from .report import print_values


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `data make`."""
    parser.add_argument(
        "source", metavar="KIND:WHERE", help="folder:PHOTOS/metadata.csv, parquet:'*.parquet', tfds:NAME#SPLIT or shapes:COUNTxSIZE"
    )
    parser.add_argument("--out", metavar="FOLDER", type=Path, help="a new folder for the shards")
    parser.add_argument("--name", default="shard", help="what the names of the shards begin with (shard)")
    parser.add_argument("--samples", metavar="N", type=int, default=10_000, help="samples a shard (10,000)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Writes NAME-00000.tar ... into a folder that appears whole or not at all; returns how much."""
    if args.out is None:
        raise UserError("--out is not given; accepted is the folder to write the shards to")
    if args.samples < 1:
        raise UserError(f"--samples = {args.samples} is not a number of samples; accepted is 1 or more")
    if not args.name or set(args.name) & set("/\\%"):
        raise UserError(f"--name = {args.name!r} cannot begin the name of a file; accepted is a name without / and %")
    if args.out.exists():
        raise UserError(f"--out = {args.out} is there already; accepted is a folder that is not")

    from ..data.sources.open_source import open_source
    from ..data.write_shards import whole_folder

    source = open_source(args.source, (), setting="KIND:WHERE", places_setting="WHERE")
    with contextlib.ExitStack() as stack:
        try:
            partial = stack.enter_context(whole_folder(args.out))
        except OSError as error:
            raise UserError(
                f"--out = {args.out} cannot be written ({error.strerror}); accepted is a new folder in one that can be"
            ) from None
        written = write_source(source, partial / f"{args.name}-%05d.tar", per_shard=args.samples)
    result = {"out": str(args.out), **written}
    print_values(result, title=str(args.out))
    return result


def write_source(source: Any, pattern: Path, *, per_shard: int) -> dict[str, int]:
    """All samples of `source` in order; members keep their names, keys are numbers."""
    from rich.console import Console
    from rich.progress import track

    from ..data.read_in_order import read_in_order
    from ..data.write_shards import write_shards

    numbers = range(len(source))
    samples = track(read_in_order(source, numbers), total=len(numbers), description="writing", console=Console(stderr=True), transient=True)
    write_shards(pattern, ((f"{number:09d}", sample.members) for number, sample in zip(numbers, samples)), per_shard=per_shard)
    files = sorted(pattern.parent.glob("*.tar"))
    return {"samples": len(source), "shards": len(files), "bytes": sum(file.stat().st_size for file in files)}
