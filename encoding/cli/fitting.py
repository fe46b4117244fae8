"""``fit``: fit one encoding model, from its options to a table of scores."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from encoding.analysis.bootstrap import interval_note, interval_text, roi_intervals
from encoding.analysis.test_sets import scores_by_test_set
from encoding.cli.clusters import fit_anywhere
from encoding.cli.command import Answer, BadArguments, add_command, check_out_folder, checking_arguments
from encoding.cli.listing import SIDES
from encoding.cli.spec_options import add_spec_arguments, check_effect, spec_from
from encoding.cli.terminal import Progress, table
from encoding.evaluation.scores import SCORES, Score
from encoding.fits.plan import Plan, plan
from encoding.fits.resources import preflight
from encoding.fits.result import Result
from encoding.fits.spec import FitSpec
from encoding.runs.report import roi_ends
from encoding.runtime.device import choose_device
from encoding.runtime.durations import duration
from encoding.runtime.progress import Report, subprogress
from encoding.storage.store import Store

EXAMPLES = """
fit
fit --layer energy --roi V1v V1d --hemi lh
fit --backbone torchvision/alexnet --layer features.4 --layer features.7
fit --backbone torchvision/alexnet --layer features.4 --weights random:0
fit --backbone gabor --layer energy --backbone torchvision/alexnet --layer features.9 --readout banded_ridge
fit --readout ridge --set alpha=10 --components 50 --split kfold:5:0
fit --dataset algonauts2023 --subject subj01 --out results --json
"""

MORE = """
The images go through the backbone; its layer's activations are reduced to components; a readout learns from
the training images how each vertex of the cortex responds, and is scored on test images it has not seen. With
no option this fits a simulated subject and needs no download. Finished stages are kept: the same fit again
takes a moment, and one that was stopped goes on from where it was.
"""


def add_commands(commands: Any) -> None:
    """Add ``fit``."""
    parser = add_command(
        commands, "fit", run_fit, about="Fit an encoding model and show how well it predicts each ROI.", examples=EXAMPLES, more=MORE
    )
    add_spec_arguments(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="only say what time, memory and disk the fit takes, and whether it fits here"
    )
    parser.add_argument(
        "--score",
        default="r",
        choices=tuple(SCORES),
        metavar="SCORE",
        help=f"which score the table shows: {', '.join(SCORES)}; with its 95 %% interval where it is not r (default: r)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write spec.json, rois.csv, vertices.parquet, lh_r.npy and rh_r.npy there")


def run_fit(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Check the arguments, fit, and write the files of ``--out``."""
    store, started = Store(), time.perf_counter()
    spec = checked_spec(arguments, store, subprogress(progress, 0, 0.2))
    fit_plan = plan(spec, store)
    check_score(arguments.score, SCORES[arguments.score], fit_plan)
    if arguments.dry_run or fit_plan.key not in store:
        needed = preflight(fit_plan, store, choose_device(arguments.device))
        if arguments.dry_run:
            document = {name: getattr(needed, name) for name in ("seconds", "ram", "gpu", "disk")} | {"problems": list(needed.problems)}
            return Answer(document, "\n".join([f"This fit takes {needed}.", *needed.problems]), code=int(bool(needed.problems)))
        progress.say(f"This takes {needed}.")
    result = fit_anywhere(spec, store, progress, arguments.device)
    result = replace(result, seconds=time.perf_counter() - started)
    if arguments.score != "r":
        roi_intervals(result, progress)
    document, text = result.summary(), describe(result, arguments.score)
    if arguments.out is not None:
        folder = result.save(arguments.out).resolve()
        document, text = document | {"out": str(folder)}, f"{text}\nwritten   {folder}"
    return Answer(document, text)


def checked_spec(arguments: argparse.Namespace, store: Store, report: Report) -> FitSpec:
    """Build the spec and check that it can be fitted here and its output files written.

    Raises
    ------
    BadArguments
        For an invalid value. Unknown names raise what :func:`encoding.fits.plan.plan` raises.
    """
    with checking_arguments():
        check_out_folder(arguments.out)
        spec = spec_from(arguments)
        check_effect([spec])
        plan(spec, store, report)
        if arguments.device == "cuda":  # a wish that can fail; asking costs the import of torch
            choose_device(arguments.device)
    return spec


def check_score(name: str, score: Score, fit_plan: Plan) -> None:
    """Raise BadArguments for a score of ``--score`` that fits of these responses do not have."""
    if score.needs_ceiling and fit_plan.subject.ceiling is None:
        raise BadArguments(f"--score {name} needs a noise ceiling, and none is known for these responses.")
    if score.images_only and fit_plan.of_clips:
        raise BadArguments(f"--score {name} is one of images, and these stimuli are clips.")


def describe(result: Result, score: str = "r") -> str:
    """Format one score of a fit as a table, with a line on what it is and, of scores other than r, their 95 % interval."""
    spec, subject = result.plan.spec, result.plan.subject
    made_in = result.provenance.get("made_from", {})
    took = "kept from before, nothing was fitted" if result.cached else f"{duration(result.seconds)} on {made_in.get('device')}"
    ceiling = "" if subject.ceiling is None else "; the ceiling is the highest mean r that noise allows"
    lines = [
        roi_table(result, score),
        "",
        "scores    none: every stimulus was used for training, so none is left to test on"
        if not result.plan.has_test
        else f"scores    r is the correlation of predicted and measured responses to test {result.row_word('test')}{ceiling}"
        if score == "r"
        else f"scores    {subject.unit.fill(SCORES[score].definition)} {interval_text(result, score)}",
        f"subject   {spec.dataset} {spec.subject}" + (" (simulated: no brain was measured)" if subject.simulated else ""),
        f"model     {spec.network_and_layers}, {spec.components_label}, {spec.readout}",
        *[
            f"reduced   {' + '.join(kept['layers'])}: too large to store, reduced to {kept['explained']:.1%} of its variance"
            for kept in result.kept_variance()
            if kept["reduced"]
        ],
        *([f"input     {spec.input}, in place of the preprocessing of the weights"] if spec.input else []),
        f"split     {result.counted('training')}, {result.counted('test')} ({spec.split})",
        *(["repeats   responses and predictions of a test stimulus are averaged before they are scored"] if spec.average_repeats else []),
        *_delay_lines(result),
        *_test_set_lines(result),
        *_training_lines(result),
        *([f"folds     r is the mean over {len(result.plan.folds)} folds of each fold's r"] if len(result.plan.folds) > 1 else []),
        *(["folds     one fold, of which pooled r is r"] if score == "pooled_r" and len(result.plan.folds) == 1 else []),
        *([f"note      {note}"] if result.plan.has_test and (note := interval_note(result)) else []),
        f"time      {took}",
        f"key       {result.key}",
        f"kept in   {result.store.path(result.key)}",
    ]
    return "\n".join(lines)


def _delay_lines(result: Result) -> list[str]:
    """A line on the delays of a fit on samples of runs: given, or how many folds chose each set."""
    if not result.plan.spec.delays:
        return []
    chosen, tr = Counter(result.delays(number) for number in range(len(result.plan.folds))), result.plan.subject.tr
    in_folds = [f" (in {n} of {chosen.total()} folds)" if len(result.plan.delay_sets) > 1 else "" for n in chosen.values()]
    seconds = f", one every {tr:g} s" if tr else ""
    sets = "; ".join(f"{', '.join(map(str, delays))}{where}" for delays, where in zip(chosen, in_folds, strict=True))
    return [f"delays    {sets}, in samples before{seconds}"]


def _test_set_lines(result: Result) -> list[str]:
    """One line per test set of a split that has several: its size, and the mean r of the table's first row in each hemisphere."""
    table, lines = scores_by_test_set(result), []
    for name, rows in [] if table.empty else table.groupby("test_set", sort=False):
        first = rows[rows["roi"] == rows["roi"].iloc[0]]
        means = ", ".join(f"{hemi} {r:z.3f}" for hemi, r in zip(first["hemi"], first["r_mean"], strict=True))
        tested = Result(result.plan.test_sets[name], result.store).counted("test")
        lines.append(f"test set  {name}: {tested}, mean r of {first['roi'].iloc[0]}: {means}")
    return lines


def _training_lines(result: Result) -> list[str]:
    """Lines on the errors of a readout trained in epochs: of each ROI where each has a model, else of the table's first with vertices."""
    errors, lines = result.training_errors(), []
    errors = errors if errors.empty else errors[errors["n_vertices"] > 0]
    if len(errors) and not result.plan.spec.target_groups.startswith("roi"):
        errors = errors.groupby("hemi", sort=False).head(1)
    for row in errors.to_dict("records"):
        on = f"validation {result.row_word('training')}"
        words = f"mean squared error {row['train_mse']:.4f} while learning, {row['validation_mse']:.4f} on {on}"
        lines.append(f"training  {row['hemi']}, {row['roi']}: {words}, at epoch {row['best_epoch']:g}, in the responses' own unit")
    return lines


def roi_table(result: Result, score: str = "r") -> str:
    """Format one line per ROI: number of vertices, mean score and, beside r, where known, the mean noise ceiling of r, per hemisphere.

    Beside another score stand the ends of its 95 % interval.
    """
    scores, hemis = result.rois().set_index(["roi", "hemi"]), result.plan.hemis
    if score == "pooled_r" and len(result.plan.folds) == 1:
        score = "r"
    columns = {"n_vertices": result.plan.subject.unit.many, SCORES[score].mean_column: f"mean {SCORES[score].short}"}
    if score == "r":
        columns |= {"ceiling_r": "ceiling"} if "ceiling_r" in scores else {}
    else:
        ends = roi_ends(result, score)
        scores[["low", "high"]] = [ends.get(place, (np.nan, np.nan)) for place in scores.index]
        columns |= {"low": "95 % from", "high": "to"}
    rows = [
        [roi, *(_cell(name, scores.loc[(roi, hemi), name]) for hemi in hemis for name in columns)] for roi in scores.index.unique("roi")
    ]
    groups = [("", 1), *((SIDES.get(hemi, hemi), len(columns)) for hemi in hemis)]
    return table(["ROI", *list(columns.values()) * len(hemis)], rows, align="<" + ">" * len(columns) * len(hemis), groups=groups)


def _cell(name: str, value: float) -> str:
    if name == "n_vertices":
        return f"{int(value):,}"
    return f"{value:z.3f}" if np.isfinite(value) else "-"
