"""``runs``: list all finished fits with any score, filtered and sorted, or write them as CSV."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from encoding.cli.command import Answer, add_command, check_out_csv
from encoding.cli.experimenting import SHOWN_SCORES
from encoding.cli.terminal import Progress, table
from encoding.datasets import DATASETS, Subject
from encoding.evaluation.scores import SCORES
from encoding.runs.table import SCORE_COLUMNS, all_runs, as_csv, matching
from encoding.storage.atomic import atomic_file
from encoding.storage.keys import short_digits
from encoding.storage.store import Store

SHOWN = ("dataset", "subject", "targets", "backbone", "layers", "components", "readout", "options", "split")
BY_SCORE = "score"


def add_commands(commands: Any) -> None:
    """Add ``runs``."""
    parser = add_command(
        commands,
        "runs",
        run_runs,
        about="Show every finished fit with one of its scores over all fitted vertices.",
        examples="runs\nruns alexnet ridge --score rmse_median --sort score\nruns --tag paper --out runs.csv",
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="only fits in whose row each word occurs")
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="only fits with this tag; give it again for more")
    parser.add_argument(
        "--score",
        default="r",
        choices=SHOWN_SCORES,
        metavar="SCORE",
        help=f"which score to show: {', '.join(SCORES)}, or <score>_median, <score>_best (default: r)",
    )
    parser.add_argument(
        "--sort", default="made", choices=("made", BY_SCORE, *SHOWN), help="score: the best first (default: the newest first)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="write every column there, with every score")


def run_runs(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """List finished fits; subjects that are ready are opened for their noise ceilings where a score needs them."""
    check_out_csv(arguments.out)
    store = Store()
    score, statistic = SHOWN_SCORES[arguments.score]

    def subject_of(dataset: str, name: str) -> Subject | None:
        try:
            return DATASETS[dataset].open(name, store) if DATASETS[dataset].is_ready(name, store) else None
        except (LookupError, ValueError, OSError) as error:
            progress.say(f"{dataset} {name} cannot be opened, so its fits have no normalised scores: {error}")
            return None

    found = all_runs(store, subject_of=subject_of if score.needs_ceiling or arguments.out is not None else None)
    column = score.column(statistic)
    by, ascending = (column, score.lower_is_better) if arguments.sort == BY_SCORE else (arguments.sort, arguments.sort != "made")
    none = f"None of {len(found):,} finished fits matches." if len(found) else "No finished fit."
    found = matching(found, words=" ".join(arguments.words), tags=arguments.tag, by=by, ascending=ascending)
    rows = [
        [
            short_digits(row["key"]) + (" (imported)" if row["imported"] else ""),
            *(str(row[name]) for name in SHOWN),
            "-" if row[column] != row[column] else f"{row[column]:z.3f}",
        ]
        for row in found.to_dict("records")
    ]
    text = table(["fit", *SHOWN, column], rows, align="<" * (1 + len(SHOWN)) + ">") if rows else none
    known = [name for name in found if name not in SCORE_COLUMNS or found[name].notna().any()]
    document: dict[str, Any] = {"fits": json.loads(found[known].to_json(orient="records", double_precision=10))}
    if arguments.out is not None:
        path = arguments.out.expanduser().resolve()
        with atomic_file(path, "w") as file:
            file.write(as_csv(found))
        document, text = document | {"out": str(path)}, f"{text}\nwritten  {path}"
    return Answer(document, text)
