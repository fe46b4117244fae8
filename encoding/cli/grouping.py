"""``group``: the fits of several subjects as one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.analysis.columns import titled
from encoding.analysis.group import across_subjects, group_maps, group_table, subject_name
from encoding.analysis.subject_similarity import subject_similarity
from encoding.cli.analysing import cells, written
from encoding.cli.command import CSV, Answer, BadArguments, add_command, add_device, check_out_file, checking_arguments
from encoding.cli.exchanging import KEY_HELP
from encoding.cli.terminal import Progress
from encoding.datasets._base import FSAVERAGE_VERTICES
from encoding.evaluation.scores import SCORES
from encoding.runs.table import open_run
from encoding.runtime.csv import to_records
from encoding.runtime.progress import subprogress
from encoding.storage.atomic import atomic_files_into
from encoding.storage.npy import write_npy
from encoding.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

THRESHOLD = 0.1  # of the score, which subjects that a map counts pass

GROUP_MORE = """
One fit of each subject, of any data set. The table has the mean over subjects of every ROI, its spread and the 95 % interval of the mean
by Student's t, which speaks of other subjects. --maps writes, for every vertex of fsaverage, the mean, the number of subjects that have
it, and the number that pass the threshold. --across tests each subject's model on every other subject's test stimuli. --rsa compares the
layers with every subject's regions on the stimuli that all saw, with the bounds of the noise ceiling over subjects.
"""


def add_commands(commands: Any) -> None:
    """Add ``group``."""
    parser = add_command(
        commands,
        "group",
        run_group,
        about="Show the fits of several subjects as one: mean and spread per ROI, maps, and models tested on other subjects.",
        more=GROUP_MORE,
        examples="group 3fa92c 71b0de\ngroup 3fa92c 71b0de --score normalised_r2 --maps maps\ngroup 3fa92c 71b0de --across",
    )
    parser.add_argument("key", metavar="KEY", nargs="+", help=KEY_HELP)
    parser.add_argument("--score", default="r", choices=tuple(SCORES), metavar="SCORE", help=f"{', '.join(SCORES)} (default: r)")
    parser.add_argument("--median", action="store_true", help="the median over an ROI's vertices in place of the mean")
    parser.add_argument("--across", action="store_true", help="test each subject's model on every other subject")
    parser.add_argument("--rsa", action="store_true", help="RSA on the stimuli that all subjects saw, and its noise ceiling over subjects")
    parser.add_argument("--maps", type=Path, metavar="FOLDER", help="write <hemi>_mean.npy, _n_subjects.npy and _n_above.npy there")
    least = parser.add_mutually_exclusive_group()
    about = f"of --maps: what the score of counted subjects passes (default: {THRESHOLD})"
    least.add_argument("--threshold", type=float, metavar="SCORE", help=about)
    about = "of --maps: count subjects by their permutation tests (`significance`) instead"
    least.add_argument("--significant", action="store_true", help=about)
    add_device(parser)
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="write the table of ROIs there")


def run_group(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Show the fits of several subjects together."""
    check_out_file(arguments.out, CSV)
    if arguments.maps is None and (arguments.significant or arguments.threshold is not None):
        raise BadArguments("--threshold and --significant say which subjects --maps counts. Name its folder, or leave them out.")
    keys, store = list(dict.fromkeys(arguments.key)), Store()
    results = [open_run(key, store, subprogress(progress, 0, 0.2)) for key in keys]
    known, statistic = SCORES[arguments.score], "median" if arguments.median else "mean"
    if missing := [subject_name(each) for each in results if arguments.score not in (*each.score_names, "pooled_r")]:
        raise BadArguments(f"--score {arguments.score} is not known of {', '.join(missing)}.")
    with checking_arguments():
        rows = group_table(results, arguments.score, statistic)
    document: dict[str, Any] = {"keys": [each.key for each in results], "score": arguments.score, "rois": to_records(rows)}
    text = [describe_group(rows, known.short, statistic)]
    if arguments.maps is not None:
        threshold = THRESHOLD if arguments.threshold is None else arguments.threshold
        maps = group_maps(results, arguments.score, threshold=None if arguments.significant else threshold)
        folder = arguments.maps.expanduser().resolve()
        with atomic_files_into(folder) as scratch:
            for hemi, each in maps.items():
                for name in ("mean", "n_subjects", "n_above"):
                    whole = np.full(FSAVERAGE_VERTICES, np.nan if name == "mean" else 0, np.float32)
                    whole[each.vertices] = getattr(each, name)
                    write_npy(scratch / f"{hemi}_{name}.npy", whole)
        document["maps"] = str(folder)
        text.append(f"maps       {folder}")
    if arguments.across:
        across = across_subjects(results, subprogress(progress, 0.2, 1), arguments.device)
        document["across"] = to_records(across)
        text += ["", cells(titled(across), ("", "", "", "", "d", ".3f", "d", ".3f"))]
        text += ["Shared vertices are those of fsaverage that both subjects have."]
    if arguments.rsa:
        compared = subject_similarity(results, subprogress(progress, 0.2, 1), arguments.device)
        document["rsa"] = to_records(compared)
        shown = compared[compared["rsa_subjects"].notna()]
        text += ["", cells(titled(shown), ("", "", "", "d", "d", ".3f", ".3f", ".3f"))]
        text += ["Spearman's correlation of distances with each subject's, which the ceiling over subjects bounds."]
    return written(arguments.out, titled(rows), Answer(document, "\n".join(text)))


def describe_group(rows: pd.DataFrame, short: str, statistic: str) -> str:
    """Format a group's table of ROIs."""
    shown = rows[rows["n_subjects"] > 0].drop(columns=["se"])
    text = cells(titled(shown), ("", "", "d", *[".3f"] * (len(shown.columns) - 3)))
    return f"{text}\n\n{statistic} {short} of each subject's region; mean, spread and interval are over subjects, not vertices"
