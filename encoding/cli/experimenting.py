"""``experiment``: run a grid of fits, follow it, and write its table."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from encoding.backbones import UnknownLayer
from encoding.cli import selecting
from encoding.cli.clusters import carrying_out
from encoding.cli.command import (
    Answer,
    BadArguments,
    Parser,
    add_command,
    add_device,
    add_workers,
    check_out_file,
    check_workers,
    checking_arguments,
)
from encoding.cli.terminal import Progress, table
from encoding.evaluation.scores import SCORES
from encoding.experiments.experiment import Experiment
from encoding.experiments.graph import plan_cells
from encoding.experiments.progress import Run, Status
from encoding.experiments.records import Record, find_record, records, request_cancel
from encoding.experiments.run import run_experiment
from encoding.experiments.states import N_SHOWN, shown_states, summary
from encoding.experiments.table import SUFFIXES, long_table, save_table
from encoding.readouts import BadOption
from encoding.runtime.csv import to_records
from encoding.runtime.registry import UnknownName
from encoding.runtime.wording import counted
from encoding.storage.store import Store

DRAW_SECONDS = 0.5
SHOWN_SCORES = {
    score.key if statistic == "mean" else score.column(statistic): (score, statistic)
    for score in SCORES.values()
    for statistic in score.statistics
}

RUN_MORE = """
FILE.toml names the settings that all fits share, in [base], and lists of those that vary, in [vary] (docs/experiments.md). Stimuli pass
through each network once for all of its layers, and what was finished before is not computed again: the same command goes on after an
interruption. A fit that fails leaves the others alone. The tasks run in this process, on --workers processes of this machine, or on the
Dask cluster that ENCODING_SCHEDULER names.
"""


def add_commands(commands: Any) -> None:
    """Add ``experiment run``, ``list``, ``show``, ``table``, ``cancel``, and those of :mod:`encoding.cli.selecting`."""
    about = "Run a grid of fits and put their scores into one table."
    group: Parser = commands.add_parser("experiment", help=about, description=about)
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    run = add_command(
        actions,
        "run",
        run_run,
        about="Compute whatever is missing of an experiment.",
        more=RUN_MORE,
        examples="experiment run grid.toml\nexperiment run grid.toml --workers 4 --out grid.parquet\nexperiment run grid.toml --dry-run",
    )
    run.add_argument("file", type=Path, metavar="FILE.toml", help="the experiment")
    add_workers(run)
    add_device(run)
    run.add_argument("--out", type=Path, metavar="FILE", help="write the table there, as .parquet or .csv")
    run.add_argument("--dry-run", action="store_true", help="only list the fits, after checking every name")
    add_command(actions, "list", run_list, about="Show the experiments that were run.", examples="experiment list")
    show = add_command(actions, "show", run_show, about="Show the state of every fit of an experiment.", examples="experiment show 8fca82")
    show.add_argument("experiment", help="its key or the beginning of it, from `experiment list`")
    results = add_command(
        actions,
        "table",
        run_table,
        about="Show or write the scores of the fits that are finished so far.",
        examples="experiment table 8fca82\nexperiment table 8fca82 --score rmse_median\nexperiment table grid.toml --out grid.csv",
    )
    results.add_argument("experiment", help="its key or the beginning of it, or its file")
    results.add_argument(
        "--score",
        default="r",
        choices=SHOWN_SCORES,
        metavar="SCORE",
        help=f"which score the table shows: {', '.join(SCORES)}, or <score>_median, <score>_best (default: r)",
    )
    results.add_argument("--out", type=Path, metavar="FILE", help="write every column there, as .parquet or .csv")
    cancel = add_command(
        actions, "cancel", run_cancel, about="Stop an experiment that runs, wherever it does.", examples="experiment cancel 8fca82"
    )
    cancel.add_argument("experiment", help="its key or the beginning of it")
    selecting.add_actions(actions)


def run_run(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Check the experiment, run it under a live table, and write the table of ``--out``."""
    check_out_file(arguments.out, SUFFIXES)
    check_workers(arguments.workers)
    with checking_arguments():
        experiment = read_experiment(arguments.file)
        with naming(arguments.file):
            cells = experiment.cells()
    if arguments.dry_run:
        document = {"key": experiment.key, "fits": [cell.spec.to_dict() for cell in cells]}
        return Answer(document, "\n".join([*(cell.label for cell in cells), "", f"{counted(len(cells), 'fit')}, {experiment.key}"]))
    store = Store()
    with carrying_out(store, arguments.workers) as executor, LiveTable(progress) as live, naming(arguments.file):
        result = run_experiment(experiment, store, progress, arguments.device, executor=executor, watch=live.follow)
    labels, status = [cell.cell.label for cell in result.cells], result.status
    document = {"key": experiment.key, "cells": cells_document(labels, status), "rows": to_records(result.table())}
    text = "\n".join([states_table(labels, status), "", summary(status), f"key  {experiment.key}"])
    if arguments.out is not None:
        path = save_table(result.table(), arguments.out)
        document, text = document | {"out": str(path)}, f"{text}\nwritten  {path}"
    return Answer(document, text, code=int(status.count("done") < len(labels)))


def run_list(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """List the experiments of the Store, the latest first."""
    store = Store()
    found = records(store)
    rows = [[each.key, each.started[:16].replace("T", " "), str(len(each.labels)), each.state, each.title] for each in found]
    document = [{"key": each.key, "title": each.title, "started": each.started, "state": each.state} for each in found]
    none = f"No experiment was run on {store.root} yet."
    return Answer(
        {"experiments": document}, table(["experiment", "begun (UTC)", "fits", "state", "title"], rows, align="<<><<") if rows else none
    )


def run_show(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Show the state of each fit as it was last written."""
    record = find_record(arguments.experiment, Store())
    document = {"key": record.key, "title": record.title, "state": record.state, "toml": record.toml}
    document |= {
        "cells": cells_document(record.labels, record.status),
        "seconds_left": record.status.seconds_left if record.running else None,
    }
    heading = [record.title, ""] if record.title else []
    lines = [*heading, states_table(record.labels, record.status, n_shown=len(record.labels)), "", record_summary(record)]
    return Answer(document, "\n".join([*lines, f"key  {record.key}"]))


def run_table(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Tabulate the finished fits; the experiment may be running."""
    check_out_file(arguments.out, SUFFIXES)
    store = Store()
    with checking_arguments():
        experiment = named_experiment(arguments.experiment, store)
        cells = plan_cells(experiment.cells(), store, progress)
    found = long_table(cells, store)
    n_fits = found["key"].nunique()
    document = {"key": experiment.key, "rows": to_records(found)}
    text = f"{counted(len(found), 'row')} of {counted(n_fits, 'finished fit')}; there {'is' if len(cells) == 1 else 'are'} {len(cells):,}."
    if arguments.out is not None:
        written = save_table(found, arguments.out)
        return Answer(document | {"out": str(written)}, f"{text}\nwritten  {written}")
    varied = list(dict.fromkeys(name for each in cells for name in each.cell.settings if name in found))
    varied += ["test_set"] if found["test_set"].any() else []
    score, statistic = SHOWN_SCORES[arguments.score]
    ends = [f"{score.key}_low", f"{score.key}_high"] if statistic == "mean" else []
    columns = [*varied, "roi", "hemi", "n_vertices", score.column(statistic), *ends]
    lines = [
        ["-" if value != value else f"{value:z.3f}" if isinstance(value, float) else str(value) for value in row]
        for row in found[columns].itertuples(index=False)
    ]
    shown = table(columns, lines, align="<" * (len(varied) + 2) + ">" * (2 + len(ends))) if lines else ""
    return Answer(document, "\n\n".join(part for part in (shown, text) if part))


def run_cancel(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Ask the process that runs an experiment to stop."""
    store = Store()
    record = find_record(arguments.experiment, store)
    asked = request_cancel(record.key, store)
    text = "It stops within a few seconds. Finished stages are kept." if asked else f"{record.key} is not running: {record.state}."
    return Answer({"key": record.key, "asked": asked}, text)


def named_experiment(name: str, store: Store) -> Experiment:
    """The experiment of a file, or of a key or the beginning of one."""
    path = Path(name).expanduser()
    return read_experiment(path) if path.suffix == ".toml" or path.is_file() else Experiment.from_toml(find_record(name, store).toml)


def read_experiment(path: Path) -> Experiment:
    """Read an experiment's file; BadArguments where there is none."""
    try:
        return Experiment.read(path)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise BadArguments(f"{path} cannot be read: {error.strerror}. docs/experiments.md shows what stands in such a file.") from error


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Begin the messages of names and values that do not exist with the file that holds them."""
    try:
        yield
    except (UnknownName, UnknownLayer, BadOption) as error:
        raise BadArguments(f"{path}: {error}") from error


class LiveTable:
    """Table of cells that is redrawn on a terminal while an experiment runs; elsewhere a line of progress at most once a second."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._ended = progress, threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> LiveTable:
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def follow(self, run: Run) -> None:
        """Begin to show a run."""
        self._progress.close()
        self._thread = threading.Thread(target=self._draw if sys.stderr.isatty() else self._report, args=(run,), daemon=True)
        self._thread.start()

    def _draw(self, run: Run) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        labels = [planned.cell.label for planned in run.graph.cells]
        console = Console(stderr=True)
        with Live(console=console, transient=True, auto_refresh=False) as live:
            while not self._ended.wait(DRAW_SECONDS):
                status, room = run.status(), max(3, console.size.height - 6)
                lines = [states_table(labels, status, n_shown=room, unfinished_first=True), "", summary(status)]
                live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)

    def _report(self, run: Run) -> None:
        while not self._ended.wait(DRAW_SECONDS):
            status = replace(run.status(), seconds_left=None)  # the line ends with the bar's own
            self._progress(run.fraction, summary(status))


def states_table(labels: Any, status: Status, *, n_shown: int = N_SHOWN, unfinished_first: bool = False) -> str:
    """Format the state of each fit, failed ones first where not all are shown."""
    return table(["fit", "state"], shown_states(labels, status, n_shown=n_shown, unfinished_first=unfinished_first), align="<<")


def record_summary(record: Record) -> str:
    """State and counts of an experiment that was run."""
    again = " The same `experiment run` goes on." if record.state == "interrupted" else ""
    return f"{record.state}: {summary(record.status)}.{again}"


def cells_document(labels: Any, status: Status) -> list[dict[str, Any]]:
    """State of each fit for ``--json``."""
    return [
        {"fit": label, "state": cell.state, "stage": cell.stage or None, "fraction": cell.fraction, "error": cell.error or None}
        for label, cell in zip(labels, status.cells, strict=True)
    ]
