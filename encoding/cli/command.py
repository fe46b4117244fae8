"""Define a command: its arguments, the function that runs it, and the answer that it prints."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from encoding.datasets import BadData

PROGRAM = "python -m encoding"


@dataclass(frozen=True)
class Answer:
    """The output of a command, for a program and for a person.

    Attributes
    ----------
    document : JSON-able and without NaN; what ``--json`` prints.
    text : the same for reading.
    code : the exit code, 1 where the answer is that something is wrong.
    """

    document: dict[str, Any]
    text: str
    code: int = 0


class BadArguments(ValueError):
    """The arguments cannot be used; the message says which, and what could be used instead."""


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises :class:`BadArguments` instead of ending the process."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False} | options)

    def error(self, message: str) -> NoReturn:
        raise BadArguments(f"{message}\n`{self.prog} --help` shows what there is.")


Run = Callable[[argparse.Namespace, Any], Answer]
"""``run(arguments, progress)``, where progress is a :class:`encoding.cli.terminal.Progress`."""


def add_command(commands: Any, name: str, run: Run, *, about: str, examples: str, more: str = "") -> argparse.ArgumentParser:
    """A parser for the command ``name``, with ``--json`` and ``--debug`` as every command has them.

    Parameters
    ----------
    about : one sentence, shown in the list of commands too.
    examples : lines as they follow ``python -m encoding``. more : what else a newcomer should know.
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
    """Turn a ValueError within the block into :class:`BadArguments`; damaged data stay :class:`BadData`."""
    try:
        yield
    except (BadData, BadArguments):
        raise
    except ValueError as error:
        raise BadArguments(str(error)) from error
