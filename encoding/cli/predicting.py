"""``predict`` and ``rank``: predict responses to new images, rank them by it, or write a challenge's submission files."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encoding.cli.analysing import add_region, opened_region
from encoding.cli.command import Answer, BadArguments, add_command, add_device, check_out_csv, check_out_folder, checking_arguments
from encoding.cli.terminal import Progress, file_size
from encoding.fits.result import Result
from encoding.prediction.inputs import CannotPredict, why_not_images
from encoding.prediction.predict import account, save_predictions, stimuli_in
from encoding.prediction.references import rank_folder, region_columns, why_no_interval
from encoding.prediction.tables import stimuli_in_table
from encoding.runs.table import open_run
from encoding.runtime.csv import to_csv, to_records
from encoding.runtime.device import choose_device
from encoding.runtime.durations import duration
from encoding.runtime.progress import subprogress
from encoding.storage.atomic import atomic_file
from encoding.storage.store import Store

if TYPE_CHECKING:
    from encoding.prediction.submissions import Submission

EXAMPLES = """
predict fit-3fa92c --images photos --out predictions
predict 3fa92c --submission --out submission
predict 3fa92c 71b0de --submission --out submission --json
predict 3fa92c 71b0de --segments tables --samples target_sample_number --out submission
"""

MORE = """
Images go through the fit's own backbone, components and models, whose key is KEY. Predictions are in the units of the
data set's responses: <hemi>_predictions.npy has a row an image and a column a vertex, stimuli.csv and vertices.csv name
them. With a k-fold split they are the mean over the folds' models. Vertices that were not fitted are NaN.

--submission predicts the test set of the challenge that the data come from and writes what its development kit would:
for algonauts2023 a folder a subject and a zip, for algonauts2021 a pickle a track and a zip. Give a KEY for each subject.

For algonauts2025, whose test films are yours, --segments names a folder with a feature table for each segment (s07e01a.npy,
a row for each sample), and --samples the challenge's folder target_sample_number.
"""

RANK_EXAMPLES = """
rank fit-3fa92c --images photos --roi PPA
rank 3fa92c --images photos --roi PPA --least-r 0.2 --out ranking.csv
"""

RANK_MORE = """
Images pass through the network block by block, and none of their features is stored. low and high are the ends of a 95 %
prediction interval (split conformal, from the errors on test images); above_training is the percentage of training images with
a lower prediction; unlike_training is the percentage of test images that are nearer to the training images in the space of the
fit's components: where it is high, trust the prediction little.
"""
N_SHOWN = 5  # images at either end, in the text


def add_commands(commands: Any) -> None:
    """Add ``predict`` and ``rank``."""
    about = "Rank a folder of images by the response that a finished fit predicts of a region."
    parser = add_command(commands, "rank", run_rank, about=about, examples=RANK_EXAMPLES, more=RANK_MORE)
    parser.add_argument("key", metavar="KEY", help="a fit's key, or as many of its first characters as only it has")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="a folder of images, or of clips for a fit of clips")
    add_region(parser, "whose mean response is predicted")
    parser.add_argument("--least-r", type=float, default=-1.0, metavar="R", help="leave out vertices with a lower test r; none by default")
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="write the whole table there")
    add_device(parser)
    about = "Predict responses to new images from a finished fit, or write a challenge's submission."
    parser = add_command(commands, "predict", run_predict, about=about, examples=EXAMPLES, more=MORE)
    parser.add_argument(
        "key", nargs="+", metavar="KEY", help="a fit's key, shown by `fit` and `cache list`; as many of its first characters as only it has"
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="a folder of images, or of clips for a fit of clips; in natural order")
    parser.add_argument("--table", type=Path, metavar="FILE", help="for a fit on given/ features: a table with the same columns")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder that files are written to")
    parser.add_argument("--submission", action="store_true", help="the challenge's test set, in the challenge's own files")
    parser.add_argument("--segments", type=Path, metavar="DIR", help="for algonauts2025: a feature table for each test segment")
    parser.add_argument("--samples", type=Path, metavar="DIR", help="with --segments: the challenge's folder target_sample_number")
    add_device(parser)


def run_predict(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Check the arguments, open every fit, predict, and write the files."""
    started, store = time.perf_counter(), Store()
    with checking_arguments():
        check_words(arguments)
    opening = [subprogress(progress, 0.1 * i / len(arguments.key), 0.1 * (i + 1) / len(arguments.key)) for i in range(len(arguments.key))]
    results = [open_run(key, store, subreport) for key, subreport in zip(arguments.key, opening, strict=True)]
    answer = _submission if arguments.submission or arguments.segments else _predictions
    document, text = answer(arguments, results, store, progress)
    seconds = time.perf_counter() - started
    return Answer(document | {"seconds": round(seconds, 3)}, f"{text}\ntime       {duration(seconds)}")


def run_rank(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Rank a folder of images and show both ends; write the table where asked."""
    if not arguments.images.expanduser().is_dir():
        raise BadArguments(f"--images {arguments.images} is no folder.")
    check_out_csv(arguments.out)
    store = Store()
    result = open_run(arguments.key, store, subprogress(progress, 0, 0.1))
    result, roi = opened_region(arguments, result)
    if arguments.least_r > -1 and not result.plan.has_test:
        raise BadArguments("--least-r leaves out by test r, and this fit has none: every stimulus was used for training.")
    if refusal := why_not_images(result.plan.spec.backbone):
        raise CannotPredict(f"This fit cannot predict from images. {refusal}")
    stimuli = stimuli_in(arguments.images, result.plan, store, subprogress(progress, 0.1, 0.15)).sampled(result.plan.spec.frames)
    report = subprogress(progress, 0.15, 1)
    with checking_arguments():
        columns = region_columns(result, roi, arguments.least_r)
    table = rank_folder(result, stimuli, columns, report=report, device=arguments.device)
    if arguments.out is not None:
        with atomic_file(arguments.out.expanduser(), "w") as file:
            file.write(to_csv(table))
    ends = table if len(table) <= 2 * N_SHOWN else table.drop(index=range(N_SHOWN, len(table) - N_SHOWN))
    lines = [
        f"ranked     {len(table):,} by the predicted mean response of {roi}",
        model_line(result),
        "",
        ends.to_string(index=False),
    ]
    lines += [f"low, high  no 95 % interval: {why}"] if (why := why_no_interval(result)) else []
    lines += [f"written    {arguments.out}"] if arguments.out is not None else []
    return Answer({"key": result.key, "roi": roi, "ranking": to_records(table)}, "\n".join(lines))


def check_words(arguments: argparse.Namespace) -> None:
    """Check the arguments before any work.

    Raises
    ------
    BadArguments
        If options contradict each other or name no folder.
    ValueError
        If the device is not available.
    """
    if arguments.submission and arguments.images is not None:
        raise BadArguments("--submission predicts the challenge's own test set. Leave out --images, or --submission.")
    wanted = (arguments.submission, arguments.images, arguments.table, arguments.segments)
    if sum(map(bool, wanted)) > 1:
        raise BadArguments("--images, --table, --segments and --submission each say what to predict. Keep one of them.")
    if bool(arguments.segments) != bool(arguments.samples):
        raise BadArguments("--segments and --samples go together: the tables, and how many samples of each are asked for.")
    if not any(wanted):
        raise BadArguments("Say what to predict: --images DIR, --table FILE, or --submission for the test set of a challenge.")
    if not (arguments.submission or arguments.segments) and len(arguments.key) > 1:
        raise BadArguments("Several keys make one --submission. For other images predict with one fit at a time.")
    if arguments.images is not None and not arguments.images.expanduser().is_dir():
        raise BadArguments(f"--images {arguments.images} is no folder.")
    check_out_folder(arguments.out)
    if arguments.device == "cuda":
        choose_device(arguments.device)


def _predictions(arguments: argparse.Namespace, results: Sequence[Result], store: Store, progress: Progress) -> tuple[dict[str, Any], str]:
    (result,) = results
    if arguments.table is not None:
        stimuli = stimuli_in_table(arguments.table, result, store)
    elif refusal := why_not_images(result.plan.spec.backbone):
        raise CannotPredict(f"This fit cannot predict from images. {refusal}")
    else:
        stimuli = stimuli_in(arguments.images, result.plan, store, subprogress(progress, 0.1, 0.15))
    folder = save_predictions(result, stimuli, arguments.out, report=subprogress(progress, 0.15, 1), device=arguments.device).resolve()
    about = account(result)
    unit = result.plan.subject.unit
    n_vertices = {hemi: int(result.plan.subject.responses[hemi].shape[1]) for hemi in result.plan.hemis}
    wanted = ("key", "spec", "simulated", "units", "n_models", "n_train", "unfitted")
    document = {name: about[name] for name in wanted} | {"n_stimuli": len(stimuli), "n_vertices": n_vertices, "out": str(folder)}
    what = "rows" if arguments.table is not None else "clips" if result.plan.stimuli.n_frames > 1 else "images"
    columns = " and ".join(f"{n:,} in {hemi}" for hemi, n in n_vertices.items())
    lines = [f"predicted  responses to {len(stimuli):,} {what}: {unit.many} {columns}", f"units      {about['units']}"]
    if missing := [f"{n:,} in {hemi}" for hemi, n in about["unfitted"].items() if n]:
        lines.append(f"NaN        {unit.many} that were not fitted: {' and '.join(missing)}")
    return document, "\n".join([*lines, model_line(result), f"written    {folder}"])


def model_line(result: Result) -> str:
    """Describe the model: subject, backbone, readout, and number of fold models that are averaged."""
    spec, n_models = result.plan.spec, len(result.plan.folds)
    averaged = f", mean of {n_models} models, one a fold" if n_models > 1 else ""
    marked = " (simulated: no brain was measured)" if result.plan.subject.simulated else ""
    trained = f"{result.counted('training')}{' each' if averaged else ''}"
    return f"model      {spec.dataset} {spec.subject}{marked}, {spec.network_and_layers}, {spec.readout}, {trained}{averaged}"


def _submission(arguments: argparse.Namespace, results: Sequence[Result], store: Store, progress: Progress) -> tuple[dict[str, Any], str]:
    from encoding.prediction.segments import submit_segments
    from encoding.prediction.submissions import check, submit

    how = {"report": subprogress(progress, 0.1, 1), "device": arguments.device}
    if arguments.segments:
        submission = submit_segments(results, arguments.segments.expanduser(), arguments.samples.expanduser(), arguments.out, **how)
    else:
        with checking_arguments():
            check(results)
        submission = submit(results, arguments.out, **how)
    simulated = any(result.plan.subject.simulated for result in results)
    document = {
        "challenge": submission.challenge,
        "keys": [result.key for result in results],
        "subjects": list(submission.subjects),
        "missing_subjects": list(submission.missing),
        "simulated": simulated,
        "too_large": submission.too_large,
        "out": str(arguments.out.expanduser().resolve()),
        "files": [{"path": str(path.resolve()), "bytes": path.stat().st_size} for path in submission.files],
    }
    return document, _submission_text(submission, results)


def _submission_text(submission: Submission, results: Sequence[Result]) -> str:
    from encoding.prediction.submissions import CHALLENGES

    lines = [
        f"challenge  {submission.challenge}, test stimuli of {', '.join(submission.subjects)}",
        *(model_line(result) for result in results),
    ]
    if submission.missing:
        lines.append(f"missing    {', '.join(submission.missing)}: the challenge asks for them in the same submission; give a KEY for each")
    if submission.too_large:
        lines.append(
            f"too large  {submission.files[-1].name}: the challenge takes at most {file_size(CHALLENGES[submission.challenge].most_bytes)}"
        )
    return "\n".join([*lines, *(f"written    {path.resolve()} ({file_size(path.stat().st_size)})" for path in submission.files)])
