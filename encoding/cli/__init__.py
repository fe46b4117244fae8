"""``python -m encoding``: command line interface of the core.

Each command is a function ``run(arguments, progress) -> Answer`` in one of the modules of this package. This module parses the
arguments, runs the command, prints its answer and maps exceptions to exit codes. Only answers go to standard output; progress,
warnings, errors and the output of libraries go to standard error.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence

from encoding.analysis.group import NotAGroup
from encoding.analysis.hyperparameter_search import NothingFound
from encoding.analysis.similarity import CannotCompare
from encoding.analysis.variance_partition import CannotPartition
from encoding.backbones import BadWeights, NotInstalled, NoWeights, UnknownLayer
from encoding.cli import (
    analysing,
    caching,
    exchanging,
    experimenting,
    fetching,
    fitting,
    folders,
    grouping,
    importing,
    listing,
    predicting,
    publishing,
    recipes,
    runs,
    searching,
    sweeping,
    weights,
)  # fmt: skip
from encoding.cli.clusters import WorkFailed
from encoding.cli.command import PROGRAM, Answer, BadArguments, Parser
from encoding.cli.terminal import Progress
from encoding.datasets import BadData
from encoding.datasets.catalogue.fetch import NotConfirmed
from encoding.experiments.candidates import NotFinished
from encoding.experiments.composition import MemberFailed
from encoding.experiments.records import AlreadyRunning
from encoding.experiments.sweep import LayersFailed
from encoding.fits.composition import NotComposed
from encoding.fits.open import FitChanged
from encoding.fits.resources import NoRoom
from encoding.prediction.predict import CannotPredict
from encoding.readouts import BadOption
from encoding.runs.manifest import BadExchange
from encoding.runtime.progress import Cancelled
from encoding.runtime.registry import UnknownName
from encoding.runtime.threads import let_waiting_threads_sleep
from encoding.storage.files import NoHome, NotRegular, is_passing
from encoding.storage.store import DamagedResult, StoreFull, StoreReadOnly

FAILED, BAD_ARGUMENTS, INTERRUPTED = 1, 2, 130
ARGUMENT_ERRORS = (BadArguments, CannotCompare, CannotPartition, NotAGroup, UnknownName, UnknownLayer, BadOption)
WORK_ERRORS = (
    AlreadyRunning, BadData, BadExchange, BadWeights, Cancelled, CannotPredict, ConnectionError, FileExistsError, FitChanged, LayersFailed,
    MemberFailed, NoHome, NoRoom, NotComposed, NotConfirmed, NotFinished, NotInstalled, NotRegular, NothingFound, NoWeights,
    StoreFull, StoreReadOnly, WorkFailed,
)  # fmt: skip
KNOWN_ERRORS = (*ARGUMENT_ERRORS, *WORK_ERRORS)
"""Failures whose message says all there is to say."""

FIRST_STEPS = f"""
first steps:
  {PROGRAM} fit                            a simulated subject, nothing to download
  {PROGRAM} list backbones                 which networks there are
  {PROGRAM} layers torchvision/alexnet     and their layers
  {PROGRAM} fit --help                     everything that can be chosen, with examples

Every command takes --json (one JSON document instead of text) and --help.

environment:
  ENCODING_DATA_DIR    one folder per dataset, such as algonauts2023/subj01 (default: data in the project's folder,
                       or in the one worked in where it was installed from a wheel)
  ENCODING_CACHE_DIR   where results are kept (default: cache, beside data)
  ENCODING_FEATURE_BUDGET  GB that the stored features of a layer may take (default: 2)
  ENCODING_SCHEDULER   Dask cluster where fit, search, sweep and experiment compute (default: this machine)

exit codes: 0 done, 1 failed, 2 bad arguments, 130 interrupted
"""


def parser() -> Parser:
    """Build the argument parser of all commands."""
    about = "Brain encoding models: predict responses of visual cortex from the layers of a network."
    root = Parser(prog=PROGRAM, description=about, epilog=FIRST_STEPS)
    commands = root.add_subparsers(dest="command", metavar="COMMAND", title="commands", required=True)
    for group in (
        fitting,
        searching,
        sweeping,
        experimenting,
        recipes,
        predicting,
        analysing,
        grouping,
        listing,
        folders,
        importing,
        fetching,
        weights,
        runs,
        exchanging,
        publishing,
        caching,
    ):
        group.add_commands(commands)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and print its answer.

    Returns
    -------
    int
        Exit code: 0 success, 1 failure, 2 invalid arguments, 130 interrupted.
    """
    let_waiting_threads_sleep()
    if sys.stderr is None:  # closed, as by 2>&-
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - for the whole process
    words = list(sys.argv[1:] if argv is None else argv)
    as_json, debug = "--json" in words, "--debug" in words
    if not words:
        parser().print_help(sys.stderr)
        return BAD_ARGUMENTS
    progress = Progress(sys.stderr)
    try:
        answer = run(words, progress)
    except SystemExit as done:  # --help
        return _print("", int(done.code or 0), progress)
    except KeyboardInterrupt:
        message = "Interrupted. Finished stages are kept: the same command goes on from there."
        answer = _failure(message, INTERRUPTED, progress, as_json=as_json)
    except Exception as error:
        if debug:
            progress.say(traceback.format_exc().rstrip())
        answer = _failure(explain(error, debug=debug), exit_code(error), progress, as_json=as_json)
    progress.close()
    return _print(json.dumps(answer.document, indent=1, allow_nan=False) if as_json else answer.text, answer.code, progress)


def run(words: Sequence[str], progress: Progress) -> Answer:
    """Parse ``words`` and run the command that they name."""
    arguments = parser().parse_args(words)
    with warnings_as_lines(progress), contextlib.redirect_stdout(sys.stderr):
        return arguments.run(arguments, progress)


def exit_code(error: Exception) -> int:
    """Exit code of an exception: 2 for invalid arguments, 1 for a failure at run time."""
    return BAD_ARGUMENTS if isinstance(error, ARGUMENT_ERRORS) else FAILED


def explain(error: Exception, *, debug: bool = False) -> str:
    """Format the message of an exception; unexpected ones with their type and a hint to ``--debug``."""
    if isinstance(error, KNOWN_ERRORS):
        return str(error)
    if isinstance(error, RuntimeError) and "home directory" in str(error):  # pathlib's, of a path that was given
        return "A path begins with ~, and that home folder does not exist here. Write the whole path."
    if isinstance(error, OSError) and error.filename is not None and (is_passing(error) or error.errno == errno.ENAMETOOLONG):
        return f"{error.strerror}: {error.filename}"
    hint = "" if debug else "\nRun the command again with --debug to see where it happened."
    return f"{type(error).__name__}: {error}{hint}"


def _failure(message: str, code: int, progress: Progress, *, as_json: bool) -> Answer:
    progress.say(message if code == INTERRUPTED else f"error: {message}")
    return Answer({"error": message, "exit_code": code}, "", code)


@contextlib.contextmanager
def warnings_as_lines(progress: Progress) -> Iterator[None]:
    """Print each warning within the block as one line on standard error; warnings of damaged results are never deduplicated."""

    def show(message: Warning | str, *about: object, **more: object) -> None:
        progress.say(f"warning: {' '.join(str(message).split())}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", DamagedResult)
        warnings.showwarning = show
        yield


def _print(text: str, code: int, progress: Progress) -> int:
    """To standard output, with ``?`` for what its encoding lacks; a reader that has seen enough, such as ``head``, may close it.

    Returns
    -------
    ``code``, or that of a failure, which is said on standard error, where the text cannot be written.
    """
    if sys.stdout is None:  # closed, as by >&-
        return _not_printed("it is closed", code, progress) if text else code
    encoding = sys.stdout.encoding or "utf-8"
    try:
        if text:
            print(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at the end of the process
        return code if isinstance(error, BrokenPipeError) else _not_printed(error.strerror or str(error), code, progress)
    return code


def _not_printed(why: str, code: int, progress: Progress) -> int:
    progress.say(f"error: Standard output cannot be written, so the answer is not shown: {why}. What was computed is kept.")
    return code or FAILED
