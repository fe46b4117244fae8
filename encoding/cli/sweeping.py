"""``sweep``: fit many layers, and report the best layer of each ROI."""

from __future__ import annotations

import argparse
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.analysis.bootstrap import interval_note
from encoding.analysis.hierarchy import Hierarchy, hierarchy
from encoding.analysis.layer_ranking import BOTH, best_layers, by_layer, layer_column, score_of_column
from encoding.analysis.layer_sweep import Sweep, SweepResult
from encoding.backbones import BACKBONES
from encoding.cli.clusters import carrying_out
from encoding.cli.command import (
    CSV,
    Answer,
    BadArguments,
    add_command,
    add_workers,
    check_out_file,
    check_workers,
    checking_arguments,
)
from encoding.cli.experimenting import LiveTable
from encoding.cli.fitting import check_score
from encoding.cli.spec_options import add_spec_arguments, check_effect, spec_from
from encoding.cli.terminal import Progress, table
from encoding.evaluation.scores import SCORES
from encoding.experiments import sweep as sweeps
from encoding.fits.plan import plan
from encoding.fits.spec import FitSpec
from encoding.runs.labels import part_label
from encoding.runtime.csv import to_csv, to_records
from encoding.runtime.device import choose_device
from encoding.runtime.progress import subprogress
from encoding.storage.atomic import atomic_file
from encoding.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = """
sweep --all-layers
sweep --backbone pixels gabor --all-layers --out layers.csv
sweep --backbone torchvision/alexnet --layer features.1 features.4 features.9 --pool mean
sweep --dataset algonauts2023 --subject subj01 --backbone torchvision/alexnet --all-layers --json
"""

MORE = """
Every layer is fitted as `fit` would, and is found again by it; the stimuli pass through each backbone once for all of its layers.
It is a short form of `experiment run`, with one task a stage: what was finished before is not computed again, and a layer that fails
leaves the others alone. With several backbones a layer is taken of each that has it; "gabor energy" (in quotes)
is that of one alone. Test images are drawn again 500 times, the same for all layers: a layer is best in so many of the draws.
"""

RANKED_BY = tuple(layer_column(key, each) for key, score in SCORES.items() for each in score.statistics)


def add_commands(commands: Any) -> None:
    """Add ``sweep``, which takes the options of ``fit`` with several layers and backbones."""
    parser = add_command(
        commands, "sweep", run_sweep, about="Fit many layers and show which predicts each ROI best.", examples=EXAMPLES, more=MORE
    )
    add_spec_arguments(parser)
    parser.conflict_handler = "resolve"
    what = parser.add_argument_group("the sweep")
    what.conflict_handler = "resolve"
    what.add_argument(
        "--backbone", nargs="+", default=[FitSpec.backbone], metavar="NAME", help="names from `list backbones` (default: %(default)s)"
    )
    what.add_argument("--layer", nargs="+", action="extend", default=[], metavar="LAYER", help="names from `layers`")
    what.add_argument("--all-layers", action="store_true", help="every layer that a backbone lists")
    what.add_argument(
        "--score",
        default="r",
        choices=RANKED_BY,
        metavar="SCORE",
        help=f"by which score the table shows and ranks layers: {', '.join(SCORES)}, or <score>_median, <score>_best (default: r)",
    )
    what.add_argument("--out", type=Path, metavar="FILE.csv", help="write a row for each layer, ROI and hemisphere there")
    add_workers(what)


def sweep_from(arguments: argparse.Namespace) -> Sweep:
    """Build the sweep from parsed arguments; the inverse of :meth:`Sweep.to_command`.

    Raises
    ------
    BadArguments
        Unless exactly one of named layers and all layers is requested.
    """
    if bool(arguments.layer) == arguments.all_layers:
        raise BadArguments("Say which layers: --layer with their names, or --all-layers.")
    first = arguments.backbone[0]
    named = BACKBONES[first].layers(first) or arguments.layer
    one = copy(arguments)
    one.backbone, one.layer = [first], [(1, layer) for layer in named[:1]]
    with checking_arguments():
        return Sweep.read(spec_from(one), arguments.backbone, arguments.layer)


def run_sweep(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Check the arguments, fit all layers, and write the table of ``--out``."""
    check_out_file(arguments.out, CSV)
    store, sweep = Store(), sweep_from(arguments)
    check_workers(arguments.workers)
    check_effect([replace(sweep.spec, backbone=backbone, layers=sweep.of(backbone)[0][1:]) for backbone in sweep.backbones])
    with checking_arguments():
        for backbone in sweep.backbones:
            planned = plan(sweep.spec_of(sweep.of(backbone)[0]), store, subprogress(progress, 0, 0.2))
        check_score(arguments.score, score_of_column(arguments.score), planned)
        if arguments.device == "cuda":
            choose_device(arguments.device)
    with carrying_out(store, arguments.workers) as executor, LiveTable(progress) as live:
        result = sweeps.run_sweep(sweep, store, progress, arguments.device, executor=executor, watch=live.follow)
    document, text = document_of(result, arguments.score), describe_sweep(result, arguments.score)
    if arguments.out is not None:
        path = arguments.out.expanduser().resolve()
        with atomic_file(path, "w") as file:
            file.write(to_csv(result.table()))
        document, text = document | {"out": str(path)}, f"{text}\nwritten   {path}"
    return Answer(document, text)


def best_of(result: SweepResult, score: str = "r") -> pd.DataFrame:
    """Best layer of each ROI over both hemispheres by one of :data:`RANKED_BY`, with shares of draws where they are stored."""
    hemi = result.hemis[0]
    rows = result.table()
    return best_layers(rows[rows["hemi"] == hemi], result.shares(hemi, score) if score in SCORES else None, score=score)


def hierarchies(result: SweepResult) -> dict[str, Hierarchy]:
    """Hierarchy index of each backbone with several layers."""
    hemi, rows = result.hemis[0], result.table()
    rows, draws = rows[rows["hemi"] == hemi], result.draws(hemi) if result.shares(hemi) is not None else None
    indices = {}
    for backbone in result.sweep.backbones:
        places = [number for number, cell in enumerate(result.cells) if cell[0] == backbone]
        if len(places) > 1:
            labels = [result.sweep.label(result.cells[place]) for place in places]
            indices[backbone] = hierarchy(by_layer(rows, "r", labels, result.rois), result.rois, None if draws is None else draws[places])
    return indices


def document_of(result: SweepResult, score: str = "r") -> dict[str, Any]:
    """Document that ``sweep --json`` prints; NaN becomes None."""

    def number(value: float) -> float | None:
        return float(value) if np.isfinite(value) else None

    indices = {
        backbone: {"index": number(each.index), "low": number(each.low), "high": number(each.high), "rois": list(each.rois)}
        for backbone, each in hierarchies(result).items()
    }
    return {
        "specs": [spec.to_dict() for spec in result.sweep.specs().values()],
        "simulated": next(iter(result.results.values())).plan.subject.simulated,
        "rows": to_records(result.table()),
        "best": to_records(best_of(result, _shown(result, score)).drop(columns="place")),
        "hierarchy": indices,
    }


def _shown(result: SweepResult, score: str) -> str:
    """The score that is shown: of one fold pooled r is r."""
    folds = next(iter(result.results.values())).plan.folds
    return score.removeprefix("pooled_") if score.startswith("pooled_r") and len(folds) == 1 else score


def describe_sweep(result: SweepResult, score: str = "r") -> str:
    """Format the mean score of every layer and ROI as a table, the best layer of each ROI, and the hierarchy index."""
    hemi, rows = result.hemis[0], result.table()
    rows = rows[(rows["hemi"] == hemi) & rows["r"].notna()]
    labels = [result.sweep.label(cell) for cell in result.cells]
    shown = _shown(result, score)
    best = best_of(result, shown).set_index("roi")
    values = by_layer(rows, shown, labels, list(best.index))
    lines = [
        [
            roi,
            *(f"{value:z.3f}" if np.isfinite(value) else "-" for value in values[:, number]),
            row.label,
            f"{row.share:.0%}" if np.isfinite(row.share) else "-",
        ]
        for number, (roi, row) in enumerate(best.iterrows())
    ]
    first = next(iter(result.results.values()))
    spec, subject = result.sweep.spec, first.plan.subject
    where = f" of {part_label(hemi, first.plan.hemis)}" if hemi == BOTH else ""
    known, statistic = score_of_column(shown), next((name for name in ("median", "best") if shown.endswith(f"_{name}")), "mean")
    lower = ", lower is better" if known.lower_is_better else ""
    text = [
        table(["ROI", *labels, "best", "of draws"], lines, align="<" + ">" * len(labels) + "<>"),
        "",
        f"scores    mean r over {subject.unit.many}{where}, of predicted and measured responses to test {first.row_word('test')}"
        if shown == "r"
        else f"scores    {statistic} over {subject.unit.many}{where}{lower}. {subject.unit.fill(known.definition)}",
        "of draws  share of 500 draws of test stimuli in which that layer is best"
        + ("" if shown in SCORES else "; there are draws of means only"),
        *(["folds     one fold, of which pooled r is r"] if shown != score else []),
        f"subject   {spec.dataset} {spec.subject}" + (" (simulated: no brain was measured)" if subject.simulated else ""),
        f"model     {spec.components_label}, {spec.readout}, {spec.split}",
    ]
    if note := interval_note(first):
        text.append(f"note      {note}")
    text += [f"order     {_hierarchy_text(each)} {backbone}" for backbone, each in hierarchies(result).items()]
    return "\n".join(text)


def _hierarchy_text(index: Hierarchy) -> str:
    if not np.isfinite(index.index):
        return "hierarchy index not defined (one layer is best everywhere, or fewer than three ROIs have a stage):"
    ends = f" (95 % {index.low:+z.2f} to {index.high:+z.2f})" if np.isfinite(index.low) else ""
    return f"hierarchy index {index.index:+z.2f}{ends}, best layer against cortical stage, of"
