"""Arguments that several verbs share, and what is checked of them before anything heavy is imported."""

from __future__ import annotations

import argparse
import errno
import os
import tempfile
from pathlib import Path

from .. import configs
from ..errors import UserError


def add_config(parser: argparse.ArgumentParser) -> None:
    """`--config NAME|FILE[:ARG]` and any number of `--config.a.b=value`, which the command line collects in `args.overrides`."""
    text = f"a recipe ({', '.join(configs.names())}) or the path of a .py file, each with an optional :ARG; --config.a.b=VALUE sets a value"
    parser.add_argument("--config", metavar="NAME|FILE[:ARG]", help=text)
    parser.set_defaults(overrides=())


def add_workdir(parser: argparse.ArgumentParser, *, what: str) -> None:
    """`--workdir`."""
    parser.add_argument("--workdir", type=Path, help=what)


def given_config(args: argparse.Namespace) -> str:
    """`--config`; UserError where it was not given."""
    if not args.config:
        raise UserError(f"--config is not given; accepted are {', '.join(configs.names())}, or the path of a .py file")
    return args.config


def given_workdir(args: argparse.Namespace) -> Path:
    """`--workdir`; UserError where it was not given."""
    if args.workdir is None:
        raise UserError("--workdir is not given; accepted is the folder in which the run lives")
    return args.workdir


def check_out_file(path: Path, *, argument: str = "--out") -> None:
    """Tries, before any work, the folder in which `--out` or its first missing folder would be made; UserError where that fails."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        there = next(parent for parent in path.absolute().parents if parent.exists())
        with tempfile.NamedTemporaryFile(dir=there, prefix=".writable-"):
            return
    except OSError as error:
        raise cannot_write(path, error, argument=argument) from None


def cannot_write(path: Path, error: OSError, *, argument: str = "--out") -> UserError:
    """The answer to an `--out` that is no file to be written."""
    return UserError(
        f"{argument} = {path} cannot be written ({error.strerror or error}); accepted is a file in a folder that can be written to"
    )


def check_workdir(path: Path) -> Path:
    """The folder, where writing to it, or to where it would be made, was tried; UserError where that fails. It is not made."""
    try:
        there = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
        with tempfile.NamedTemporaryFile(dir=there, prefix=".writable-"):
            return path
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"--workdir = {path} cannot be written ({reason}); accepted is a folder that can be made and written to") from None
