"""``experiment select`` and ``experiment compose``: choose among the fits of an experiment, and make one fit of the chosen ones."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encoding.cli.clusters import carrying_out
from encoding.cli.command import (
    PROGRAM,
    Answer,
    BadArguments,
    add_command,
    add_device,
    add_workers,
    check_out_file,
    check_workers,
    checking_arguments,
    whole_number,
)
from encoding.cli.terminal import Progress, table
from encoding.evaluation.splits import ALL
from encoding.experiments.candidates import VALIDATION
from encoding.experiments.composition import METHODS, compose
from encoding.experiments.run import ExperimentResult, run_experiment
from encoding.experiments.selection import PER, Selection, select, with_validation
from encoding.experiments.table import SUFFIXES, save_table
from encoding.runtime.csv import to_records
from encoding.runtime.progress import subprogress
from encoding.runtime.wording import counted
from encoding.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

MORE = """
What varies in the experiment is chosen between on validation stimuli, a part of the training stimuli: every fit is made a second time
without them, and the one that predicts them best is chosen. The test stimuli take no part in the choice, so that the score reported for
it is honest; beside it stands the score that a choice on the test stimuli would report. Fits that are missing are computed first.
"""
OPENS = """
The composed fit has a key and opens wherever a fit does: `report`, `predict`, also with --submission, the Compare and Predict pages.
"""
COLUMNS = (
    "roi", "hemi", "n_vertices", "winner", "candidate", "validation", "test", "test_low", "test_high", "test_best", "optimism",
    "probability", "one_se",
)  # fmt: skip


def add_actions(actions: Any) -> None:
    """Add ``select`` and ``compose`` to the actions of ``experiment``."""
    parser = add_command(
        actions,
        "select",
        run_select,
        about="Choose the best layer, network, readout or other setting per ROI or vertex, on validation stimuli.",
        more=MORE,
        examples="experiment select grid.toml --over layers\nexperiment select 8fca82 --per vertex --out winners.csv\n"
        "experiment select grid.toml --group early=V1v,V1d --group faces=FFA-1,OFA --across-subjects",
    )
    _add_choice(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write every column there, as .parquet or .csv")
    parser.add_argument("--candidates", action="store_true", help="a row for every candidate, not only the chosen one")
    parser = add_command(
        actions,
        "compose",
        run_compose,
        about="Make one fit of each subject: the best of each ROI or vertex, or an ensemble.",
        more=f"{MORE}{OPENS}",
        examples="experiment compose grid.toml\nexperiment compose grid.toml --method stacked --per vertex\n"
        "experiment compose grid.toml --split all   # for a submission",
    )
    _add_choice(parser)
    parser.add_argument(
        "--method",
        choices=METHODS,
        default="best",
        help="best of each ROI or vertex, one_se (the earliest within one standard error of the best), mean of predictions, or stacked: "
        "weights from 0 that sum to 1, learned on the validation stimuli (default: %(default)s)",
    )
    parser.add_argument(
        "--top", type=whole_number, default=0, metavar="N", help="of mean: average the N best of each ROI or vertex (default: all)"
    )
    parser.add_argument(
        "--split", choices=(ALL,), help="all: fit the chosen ones again on every stimulus, for a submission; there is no test score then"
    )


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", help="its file, or its key or the beginning of it")
    parser.add_argument(
        "--over", nargs="+", default=[], metavar="SETTING", help="settings to choose over (default: all that vary but the subject)"
    )
    parser.add_argument("--per", choices=PER, default="roi", help="what makes a choice of its own (default: %(default)s)")
    parser.add_argument(
        "--by", default="r", metavar="SCORE", help="score of the table, such as r, r_median or normalised_r2 (default: %(default)s)"
    )
    parser.add_argument(
        "--group", action="append", default=[], metavar="NAME=ROI,ROI", help="ROIs that make one choice; give it again for more"
    )
    parser.add_argument("--together", action="store_true", help="both hemispheres make one choice")
    parser.add_argument("--across-subjects", action="store_true", help="all subjects make one choice, by the mean of their scores")
    parser.add_argument(
        "--validation",
        default=VALIDATION,
        metavar="SPLIT",
        help="of the training stimuli; kfold:5:0 chooses better for five times the fits (default: %(default)s)",
    )
    add_workers(parser)
    add_device(parser)


def run_select(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Choose, and show or write what was chosen."""
    check_out_file(arguments.out, SUFFIXES)
    ran, selection = chosen(arguments, progress)
    found = selection.candidates() if arguments.candidates else selection.table()
    document = {
        "key": ran.experiment.key,
        "candidates": list(selection.labels),
        "rows": to_records(found),
    }
    lines = [choice_table(found), "", account(selection, arguments.validation), f"key  {ran.experiment.key}"]
    if arguments.out is not None:
        path = save_table(found, arguments.out)
        document, lines = document | {"out": str(path)}, [*lines, f"written  {path}"]
    return Answer(document, "\n".join(lines))


def run_compose(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Choose, and make the composed fit of each subject."""
    if arguments.top < 0:
        raise BadArguments(f"--top must be 1 or more, not {arguments.top}.")
    ran, selection = chosen(arguments, subprogress(progress, 0, 0.5))
    store = ran.store
    with checking_arguments(), carrying_out(store, arguments.workers) as executor:
        made = compose(
            selection,
            method=arguments.method,
            top=arguments.top,
            refit=arguments.split == ALL,
            command=command_of(arguments, ran.experiment.key),
            report=subprogress(progress, 0.5, 1),
            device=arguments.device,
            executor=executor,
        )
    fits, lines = [], []
    for result in made:
        subject = result.plan.spec.subject
        names = [f"{member.plan.spec.network_and_layers}, {member.plan.spec.readout}" for member in result.members]
        fits.append(result.summary() | {"members": [member.key for member in result.members]})
        rows = [row for row in fits[-1]["rois"] if row["n_vertices"]]
        scores = ", ".join(f"{row['roi']} {row['hemi']} {row['r_mean']:z.3f}" for row in rows[:6] if row["r_mean"] is not None)
        lines += [f"{subject}   {counted(len(names), 'fit')}: {'; '.join(names)}"]
        lines += [f"  r      {scores}{' …' if len(rows) > 6 else ''}" if scores else "  r      none: every stimulus was used for training"]
        lines += [f"  key    {result.key}"]
    return Answer({"experiment": ran.experiment.key, "method": arguments.method, "fits": fits}, "\n".join(lines))


def chosen(arguments: argparse.Namespace, progress: Any) -> tuple[ExperimentResult, Selection]:
    """Compute what is missing of the experiment and its validation fits, and choose."""
    from encoding.cli.experimenting import named_experiment

    check_workers(arguments.workers)
    store = Store()
    with checking_arguments():
        groups = read_groups(arguments.group)
        experiment = with_validation(named_experiment(arguments.experiment, store), arguments.validation)
    with carrying_out(store, arguments.workers) as executor:
        ran = run_experiment(experiment, store, progress, arguments.device, executor=executor)
    with checking_arguments():
        selection = select(
            ran.cells,
            store,
            over=arguments.over,
            per=arguments.per,
            by=arguments.by,
            groups=groups,
            together=arguments.together,
            across_subjects=arguments.across_subjects,
            validation=arguments.validation,
        )
    return ran, selection


def read_groups(texts: list[str]) -> dict[str, list[str]]:
    """Read ``NAME=ROI,ROI`` of each group; BadArguments where one is not of that form."""
    groups = {}
    for text in texts:
        name, _, rois = text.partition("=")
        members = [roi for roi in rois.split(",") if roi]
        if not name or not members:
            raise BadArguments(f"--group {text} is not understood: write NAME=ROI,ROI, such as early=V1v,V1d.")
        groups[name] = members
    return groups


def command_of(arguments: argparse.Namespace, key: str) -> str:
    """The command that composes the same fit again, from the experiment's key."""
    words = ["experiment", "compose", key, "--method", arguments.method, "--per", arguments.per, "--by", arguments.by]
    words += ["--over", *arguments.over] if arguments.over else []
    words += [word for group in arguments.group for word in ("--group", group)]
    words += ["--together"] if arguments.together else []
    words += ["--across-subjects"] if arguments.across_subjects else []
    words += ["--top", str(arguments.top)] if arguments.top else []
    words += ["--split", ALL] if arguments.split else []
    return f"{PROGRAM} {shlex.join([*words, '--validation', arguments.validation])}"


def choice_table(found: pd.DataFrame) -> str:
    """Format the table of a selection, after the settings that differ between its cases."""
    settings = [name for name in found.columns[: found.columns.get_loc("roi")] if found[name].nunique() > 1]
    columns = [*settings, *(name for name in COLUMNS if name in found)]
    rows = [
        ["-" if value != value else f"{value:z.3f}" if isinstance(value, float) else str(value) for value in row]
        for row in found[columns].to_numpy(object)
    ]
    text = {"roi", "hemi", "winner", "one_se", "candidate", *settings}
    return table([name.replace("_", " ") for name in columns], rows, align="".join("<" if name in text else ">" for name in columns))


def account(selection: Selection, validation: str) -> str:
    """What the numbers of the table are, in a sentence or two."""
    n = len(selection.labels)
    return (
        f"Chosen between {n} candidates by {selection.by} on validation stimuli ({validation} of the training part). test: the winner's "
        "score on the test stimuli, which took no part. test best: what a choice on them would have reported; optimism: how much more "
        "that is. probability: of being the best, over bootstrap draws of the validation stimuli."
    )
