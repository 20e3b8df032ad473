"""`diptych data tokenizer`: a SentencePiece model trained on the captions of shards."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .report import print_values

if TYPE_CHECKING:
    from ..data.source import Source

SAMPLES, SEED = 1_000_000, 0
EXAMPLE = "a photo of two dogs on a sunny beach"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `data tokenizer`."""
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="shards, with globs and braces, or the manifest of them")
    parser.add_argument("--out", metavar="FILE", type=Path, help="the model: what data.tokenizer.path names")
    parser.add_argument("--vocab-size", metavar="N", type=int, help="pieces at most, with padding, end and unknown")
    parser.add_argument("--model", choices=("bpe", "unigram"), default="bpe", help="the algorithm (bpe)")
    parser.add_argument("--source", default="webdataset", help="the kind of source, alone or as KIND:WHERE (webdataset)")
    parser.add_argument(
        "--text-key", action="append", metavar="MEMBER", help="a member with captions: txt, json:KEY; may be repeated (txt)"
    )
    parser.add_argument("--samples", metavar="N", type=int, default=SAMPLES, help="read N samples at most, evenly spread (1,000,000)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Trains and writes the model, whole or not at all; returns what it is. The same shards give the same bytes."""
    _check(args)

    from ..data.sentence_piece import train_sentencepiece
    from ..data.sources.open_source import open_source

    source = open_source(args.source, args.patterns, setting="--source", places_setting="PATTERN")
    members = tuple(args.text_key or ("txt",))
    captions, bad = read_captions(source, members, samples=args.samples)
    if not captions:
        raise UserError(f"--text-key = {' '.join(members)} has no words in {bad} samples; accepted is a member with captions")
    print(f"training on {len(captions):,} captions", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=args.out.absolute().parent) as folder:
        part = Path(folder) / "model"
        tokenizer = train_sentencepiece(
            captions, vocab_size=args.vocab_size, out=part, seed=SEED, model_type=args.model, setting="--vocab-size"
        )
        os.replace(part, args.out)
    result = {
        "tokenizer": str(args.out),
        "captions": len(captions),
        "bad_samples": bad,
        "vocab_size": tokenizer.vocab_size,
        "eos_id": tokenizer.eos_id,
        "pad_id": tokenizer.pad_id,
        "tokens_of_an_example": len(tokenizer.encode(EXAMPLE)),
        "fingerprint": tokenizer.fingerprint,
    }
    print_values(result, title=str(args.out))
    return result


def read_captions(source: Source, members: Sequence[str], *, samples: int) -> tuple[list[str], int]:
    """Every line of `members` of at most `samples` samples, and how many samples had none."""
    from rich.console import Console
    from rich.progress import track

    from ..data.bad import BadSample
    from ..data.captions import captions_of
    from ..data.read_in_order import read_in_order
    from ..data.spec import CaptionSpec, DataSpec

    spec = DataSpec(caption=CaptionSpec(sources=dict.fromkeys(members, 1.0), lines="random"))
    captions: list[str] = []
    bad = 0
    numbers = range(0, len(source), max(-(-len(source) // samples), 1))
    read = read_in_order(source, numbers)
    for sample in track(read, total=len(numbers), description="reading captions", console=Console(stderr=True), transient=True):
        before = len(captions)
        with contextlib.suppress(BadSample):
            captions.extend(line for lines in captions_of(sample, spec).texts for line in lines if line)
        bad += len(captions) == before
    return captions, bad


def _check(args: argparse.Namespace) -> None:
    if args.out is None:
        raise UserError("--out is not given; accepted is the file to write the model to")
    if not os.access(args.out.absolute().parent, os.W_OK):
        raise UserError(f"--out = {args.out} cannot be written; accepted is a file in a folder that can be written to")
    if args.out.is_dir():
        raise UserError(f"--out = {args.out} is a folder; accepted is the file to write the model to")
    for name, value in (("--vocab-size", args.vocab_size), ("--samples", args.samples)):
        if value is None or value < 1:
            said = "none" if value is None else value
            raise UserError(f"{name} = {said} is not a number above 0; accepted is one, such as 32000")
