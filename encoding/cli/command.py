"""Define a command: its arguments, the function that runs it, and the answer that it prints."""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from encoding.datasets import BadData

PROGRAM = "python -m encoding"
CSV = (".csv",)  # what a table of --out ends in


@dataclass(frozen=True)
class Answer:
    """Output of a command.

    Attributes
    ----------
    document : JSON-serialisable, without NaN; printed by ``--json``.
    text : the same as text for a terminal.
    code : exit code; 1 where the answer reports a problem.
    """

    document: dict[str, Any]
    text: str
    code: int = 0


class BadArguments(ValueError):
    """Invalid arguments; the message names the argument and valid alternatives."""


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises :class:`BadArguments` instead of ending the process."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False} | options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's; options that a command does not have are refused here, where those that it has are known."""
        found, extra = super().parse_known_args(args, namespace)
        if extra and self._subparsers is None:
            options = [word.partition("=")[0] for word in extra if word.startswith("--")]
            close = [near for word in options for near in difflib.get_close_matches(word, self._option_string_actions, n=1)]
            self.error(f"unrecognized arguments: {' '.join(extra)}{f'. Did you mean {close[0]}?' if close else ''}")
        return found, extra

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As argparse's, with the nearest choice."""
        if action.choices is not None and value not in action.choices:
            known = [str(each) for each in action.choices]
            close = difflib.get_close_matches(str(value), known, n=1)
            hint = f". Did you mean {close[0]!r}?" if close else ""
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}{hint} (choose from {', '.join(known)})")

    def error(self, message: str) -> NoReturn:
        raise BadArguments(f"{message}\n`{self.prog} --help` shows what there is.")


def whole_number(text: str) -> int:
    """Read a whole number as people write it (``100``, ``1e2``, ``100.0``); ArgumentTypeError for anything else."""
    try:
        number = float(text)
        if number != int(number):
            raise ValueError
        return int(text) if text.strip().lstrip("+-").isdecimal() else int(number)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"a whole number such as 100 is needed, not {text!r}") from error


Run = Callable[[argparse.Namespace, Any], Answer]
"""``run(arguments, progress)``, where progress is a :class:`encoding.cli.terminal.Progress`."""


def add_command(commands: Any, name: str, run: Run, *, about: str, examples: str, more: str = "") -> argparse.ArgumentParser:
    """Add a parser for the command ``name`` with the common options ``--json`` and ``--debug``.

    Parameters
    ----------
    commands : subparsers of the main parser.
    name : of the command.
    run : function that runs it.
    about : one-sentence description, also shown in the list of commands.
    examples : example lines, without ``python -m encoding``.
    more : further description.
    """
    lines = "\n".join(f"  {PROGRAM} {line.strip()}" for line in examples.strip().splitlines())
    description = f"{about}\n\n{more.strip()}" if more else about
    parser = commands.add_parser(name, help=about, description=description, epilog=f"examples:\n{lines}")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text; messages stay on standard error")
    parser.add_argument("--debug", action="store_true", help="show the traceback when something fails")
    parser.set_defaults(run=run)
    return parser


@contextmanager
def checking_arguments() -> Iterator[None]:
    """Convert a ValueError within the block to :class:`BadArguments`; :class:`BadData` is passed on."""
    try:
        yield
    except (BadData, BadArguments):
        raise
    except ValueError as error:
        raise BadArguments(str(error)) from error


def add_device(parser: Any) -> None:
    """Add ``--device``."""
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="auto takes a GPU where there is one; of this process, as workers take what they were given",
    )


def add_workers(parser: Any) -> None:
    """Add ``--workers``, which :func:`check_workers` checks."""
    parser.add_argument(
        "--workers", type=whole_number, metavar="N", help="processes on this machine (default: the work is done in this process)"
    )


def check_workers(n_workers: int | None) -> None:
    """Raise BadArguments for a number of workers below 1, or where a cluster computes, which has its own."""
    if n_workers is not None and n_workers < 1:
        raise BadArguments(f"--workers must be 1 or more, not {n_workers}.")
    if n_workers is not None and (address := os.environ.get("ENCODING_SCHEDULER")):
        raise BadArguments(
            f"ENCODING_SCHEDULER names a cluster, {address}, whose workers compute. Unset it, or leave --workers {n_workers} out."
        )


def check_out_file(out: Path | None, suffixes: Sequence[str] = ()) -> None:
    """Raise BadArguments where a file of ``--out`` cannot be written, or has none of the ``suffixes``."""
    if out is None:
        return
    path = out.expanduser()
    if path.is_dir() or not path.parent.is_dir():
        raise BadArguments(f"--out {out} cannot be written: give a file in a folder that is there.")
    check_out_place(out)
    if suffixes and path.suffix not in suffixes:
        raise BadArguments(f"--out {out} must end in {' or '.join(suffixes)}.")


def check_out_csv(out: Path | None) -> None:
    """Raise BadArguments where a table of ``--out`` does not end in .csv, or cannot be written; its folder is made where it is missing."""
    if out is not None:
        check_out_place(out)
        if out.suffix not in CSV:
            raise BadArguments(f"--out {out} must end in {CSV[0]}.")


def check_out_folder(out: Path | None) -> None:
    """Raise BadArguments where the folder of ``--out`` is a file, or cannot be made or written to."""
    if out is None:
        return
    if out.expanduser().is_file():
        raise BadArguments(f"--out {out} is a file; give a folder.")
    check_out_place(out)


def check_out_place(out: Path) -> None:
    """Raise BadArguments where nothing can be made at ``--out``: the nearest folder above that is there cannot be written to."""
    path = out.expanduser().absolute()
    there = path if path.is_dir() else next(each for each in path.parents if os.path.lexists(each))
    if not there.is_dir():
        raise BadArguments(f"--out {out} cannot be written: {there} is no folder.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise BadArguments(f"--out {out} cannot be written: you may not write in {there}.")
