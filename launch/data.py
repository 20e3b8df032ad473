"""`diptych data TOOL`: one small module a tool (`data_TOOL.py`), loaded when it is asked for."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import Any

from ..errors import UserError

TOOLS = {
    "index": "list shards and where their samples start, in one manifest",
    "tokenizer": "train a SentencePiece tokenizer on the captions of shards",
    "make": "write samples of any source as shards",
    "inspect": "look at samples: counts, sizes, captions, what is bad",
    "bench": "measure how fast samples are read, by stage",
    "stats": "count shards and samples",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The tools; their own arguments are added once one is chosen."""
    tools = parser.add_subparsers(dest="tool", metavar="TOOL", required=True, parser_class=type(parser), action=_Loading)
    for name, text in TOOLS.items():
        tools.add_parser(name, help=text, description=text, allow_abbrev=False)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Runs the tool that was chosen; what it returns. Samples that cannot be read are a UserError: no tool can go on without them."""
    try:
        return _module(args.tool).run(args)
    except OSError as error:
        raise UserError(f"data {args.tool} stopped: {error}") from error


class _Loading(argparse._SubParsersAction):
    """Subcommands that get their arguments when they are parsed."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        words: Sequence[str] = values
        chosen = self.choices.get(words[0]) if words else None
        if isinstance(chosen, argparse.ArgumentParser):
            _module(words[0]).add_arguments(chosen)
            chosen.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="end with one line of JSON")
            namespace.parser = chosen
        super().__call__(parser, namespace, values, option_string)


def _module(tool: str) -> Any:
    return importlib.import_module(f"{__package__}.data_{tool}")
