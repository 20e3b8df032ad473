"""The program `diptych VERB`: one small module a verb, loaded when it is asked for; mistakes are one sentence and exit code 2."""

from __future__ import annotations

import argparse
import difflib
import importlib
import logging
import sys
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from ..errors import Stopped, UserError
from ..pretrain.interrupts import INTERRUPTED, Interrupts
from .distributed import is_first
from .environment import restart_with_settings

WRONG_INPUT = 2
OVERRIDE = "--config."
VERBS = {
    "quickstart": "render scenes of shapes, train a small CLIP on them, evaluate and export it",
    "train": "train a recipe in a run folder, or go on with it",
    "eval": "evaluate a checkpoint of a run",
    "export": "write the encoders of a run as a self-contained folder",
    "embed": "embed images and texts with an exported model",
    "data": "index, make, inspect, measure and count training data; train tokenizers on it",
    "plan": "compile a recipe's step for hardware that is not there: memory, collectives, roofline",
    "sweep": "train a recipe under several settings and compare them",
}


class Parser(argparse.ArgumentParser):
    """argparse that answers a wrong argument in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Raises UserError."""
        raise UserError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb and returns the exit code: 0 done, 2 wrong input, 75 preempted, 130 stopped by Ctrl-C (DESIGN: others are bugs)."""
    try:
        if argv is None:
            restart_with_settings()
        with Interrupts() as interrupts:
            logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.WARNING)
            logging.getLogger("diptych").setLevel(logging.INFO)
            return run(sys.argv[1:] if argv is None else list(argv), interrupts)
    except UserError as error:
        print(f"diptych: {error}", file=sys.stderr)
        return WRONG_INPUT
    except Stopped as stopped:
        if is_first():
            print(f"diptych: {stopped}", file=sys.stderr)
        return stopped.code
    except KeyboardInterrupt:
        return INTERRUPTED


def run(argv: list[str], interrupts: Interrupts) -> int:
    """Parses, runs the verb, and prints its result as JSON where that is asked for; verbs find `interrupts` among their arguments."""
    parser = Parser(prog="diptych", description="Pretraining of image-text models in JAX.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"diptych {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)
    subparsers = {verb: verbs.add_parser(verb, help=text, description=text, allow_abbrev=False) for verb, text in VERBS.items()}
    chosen = next((word for word in argv if word in VERBS), None)
    if chosen is not None:
        module = importlib.import_module(f"{__package__}.{chosen}")
        module.add_arguments(subparsers[chosen])
        subparsers[chosen].add_argument("--json", action="store_true", help="end with one line of JSON")
    try:
        args, rest = parser.parse_known_args(argv)
    except SystemExit as left:  # --help and --version
        return int(left.code or 0)
    overrides = [word.removeprefix(OVERRIDE) for word in rest if word.startswith(OVERRIDE) and hasattr(args, "overrides")]
    for word in rest:
        if not (word.startswith(OVERRIDE) and hasattr(args, "overrides")):
            raise unknown_argument(word, getattr(args, "parser", subparsers[args.verb]))
    args.overrides, args.interrupts = overrides, interrupts
    result = module.run(args)
    if args.json and is_first():
        from .report import json_line

        print(json_line(result), flush=True)
    return 0


def unknown_argument(word: str, parser: argparse.ArgumentParser) -> UserError:
    """The answer to an argument that a verb does not have."""
    known = [option for action in parser._actions for option in action.option_strings]
    nearest = difflib.get_close_matches(word.partition("=")[0], known, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"accepted are {', '.join(sorted(known))}"
    return UserError(f"{word} is not an argument of {parser.prog}; {hint}")


if __name__ == "__main__":
    sys.exit(main())
