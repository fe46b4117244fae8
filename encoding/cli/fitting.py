"""``fit``: fit one encoding model, from its options to a table of scores."""

from __future__ import annotations

import argparse
import ast
import json
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from encoding.analysis.bootstrap import interval_text, roi_intervals
from encoding.analysis.test_sets import scores_by_test_set
from encoding.backbones import BACKBONES
from encoding.backbones._input import INPUTS, INTERPOLATIONS
from encoding.backbones._joined import join
from encoding.backbones._pooling import OVER_FRAMES, pools_help
from encoding.cli.clusters import fit_anywhere
from encoding.cli.command import Answer, BadArguments, add_command, checking_arguments, whole_number
from encoding.cli.listing import SIDES
from encoding.cli.terminal import Progress, table
from encoding.datasets import DATASETS
from encoding.evaluation.resampling import approximate_note
from encoding.evaluation.scores import SCORES
from encoding.features.components import COMPONENT_SCALINGS, LAYER_SCALINGS, REDUCTIONS
from encoding.features.delays import delays_text
from encoding.features.half import FEATURE_DTYPES
from encoding.fits.plan import plan
from encoding.fits.resources import preflight
from encoding.fits.result import Result
from encoding.fits.spec import FitSpec, default_budget, read_budget
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


def renamed(former: str, today: str, *, extend: bool = False) -> type[argparse.Action]:
    """Argparse action of a deprecated flag: accepts it under its former name and warns."""

    class Renamed(argparse.Action):
        def __call__(self, parser, namespace, values, option_string=None):
            if option_string == former and getattr(namespace, self.dest) == self.default:  # once, however often it stands there
                print(f"{former} is now called {today}; the former name works in this release only.", file=sys.stderr)
            before = list(getattr(namespace, self.dest) or []) if extend else None
            setattr(namespace, self.dest, [*before, *values] if extend else values)

    return Renamed


def add_spec_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that define a fit, and ``--device``; defaults are those of :class:`FitSpec`."""
    spec = FitSpec()
    what = parser.add_argument_group("what is predicted")
    what.add_argument("--dataset", default=spec.dataset, help="a name from `list datasets` (default: %(default)s)")
    what.add_argument("--subject", default=spec.subject, help="one of its subjects (default: %(default)s)")
    what.add_argument(
        "--roi",
        nargs="+",
        action="extend",
        default=[],
        metavar="ROI",
        help="ROIs to report, from `rois`, or unions such as V1=V1v+V1d (default: all)",
    )
    what.add_argument("--hemi", default=spec.hemi, metavar="BLOCK", help="lh, rh or another block, or both for all (default: %(default)s)")
    what.add_argument(
        "--target-groups",
        "--focus",
        action=renamed("--focus", "--target-groups"),
        metavar="GROUPS",
        default=spec.target_groups,
        help="which vertices share a model, where they can: hemisphere, both, roi, roi:both or vertex:HEMI:COLUMN (default: %(default)s)",
    )
    what.add_argument(
        "--extra-subjects",
        "--company",
        nargs="+",
        action=renamed("--company", "--extra-subjects", extend=True),
        default=[],
        metavar="SUBJECT",
        help="additional subjects for multi-subject training of a network's shared layers",
    )
    model = parser.add_argument_group("from what")
    model.add_argument(
        "--backbone",
        action="append",
        metavar="NAME",
        help=f"a name from `list backbones`; give it again, with its layers, for more networks in one fit (default: {spec.backbone})",
    )
    model.add_argument(
        "--layer",
        action=LayerOfBackbone,
        metavar="LAYER",
        help=f"a name from `layers`, of the --backbone before it; give it again for more (default for gabor: {spec.layers[0]})",
    )
    model.add_argument("--weights", default=spec.weights, help="pretrained, random:SEED or a weights file (default: %(default)s)")
    model.add_argument(
        "--input",
        default=spec.input,
        metavar="INPUT",
        help=f"how images enter the network: {', '.join(INPUTS)}, or with size and interpolation, as resize:224:bicubic "
        "(default: the preprocessing of its weights)",
    )
    model.add_argument("--size", type=whole_number, metavar="PIXELS", help="pixels a side of the input (default: the weights' own)")
    model.add_argument("--interpolation", choices=INTERPOLATIONS, help="of --input (default: the weights' own)")
    model.add_argument("--pool", default=spec.pool, help=f"pooling over a layer's places ({pools_help()}) (default: %(default)s)")
    model.add_argument("--frames", type=whole_number, default=spec.frames, help="frames taken of each clip (default: %(default)s)")
    model.add_argument("--over-frames", choices=OVER_FRAMES, default=spec.over_frames, help="what is kept of them (default: %(default)s)")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--layer-scaling",
        choices=LAYER_SCALINGS,
        default=spec.layer_scaling,
        help="equal: several layers enter their PCA with the same total variance; none: as they are; "
        "zscore: each feature is standardised on the training rows (default: %(default)s)",
    )
    how.add_argument(
        "--component-scaling",
        choices=COMPONENT_SCALINGS,
        default=spec.component_scaling,
        help="zscore: each component is divided by its deviation over the training rows (default: %(default)s)",
    )
    how.add_argument(
        "--reduction",
        choices=REDUCTIONS,
        default=spec.reduction,
        help="how features become components: pca; sparse_random, scikit-learn's sparse random projection, fitted to nothing; "
        "none: the features as they are (default: %(default)s)",
    )
    how.add_argument(
        "--components",
        type=whole_number,
        default=spec.n_components,
        metavar="N",
        help="number of components, 0 for all of PCA's (default: %(default)s)",
    )
    how.add_argument(
        "--degree",
        type=int,
        choices=(1, 2),
        default=spec.degree,
        help="2: squares and products of the components enter the readout, too (default: %(default)s)",
    )
    how.add_argument(
        "--delays",
        type=whole_number,
        nargs="+",
        action="append",
        default=[],
        metavar="N",
        help="for samples of runs (TRs): components of so many samples before, side by side, such as 1 2 3 4; given several times, each "
        "fold takes the set of the highest cross-validated r",
    )
    how.add_argument(
        "--feature-budget",
        type=feature_budget,
        default=default_budget(),
        metavar="GB",
        help="a layer whose features take more is never stored but reduced in the pass; none for no limit (default: %(default)s)",
    )
    how.add_argument(
        "--feature-dtype",
        choices=FEATURE_DTYPES,
        default=spec.feature_dtype,
        help="how features are stored; float16 takes half the room and keeps the components' variance to 1e-4 (default: %(default)s)",
    )
    how.add_argument("--readout", default=spec.readout, help="a name from `list readouts` (default: %(default)s)")
    how.add_argument("--set", type=option, action="append", default=[], metavar="NAME=VALUE", help="a parameter of the readout")
    how.add_argument(
        "--split",
        help="holdout:FRACTION:SEED, kfold:FOLDS:SEED, first:ROWS, named:NAME or named:NAME:TESTSET, which come with own data, or all, "
        "which trains on every stimulus and has no test score (default: the data set's own, holdout:0.9:5 for images)",
    )
    how.add_argument("--average-repeats", action="store_true", help="average the test rows of each stimulus before they are scored")
    how.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes a GPU where there is one")


class LayerOfBackbone(argparse.Action):
    """Note a layer with the number of ``--backbone`` options before it."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        layers = [*(getattr(namespace, self.dest) or []), (len(getattr(namespace, "backbone", None) or []), values)]
        setattr(namespace, self.dest, layers)


def option(text: str) -> tuple[str, Any]:
    """Parse ``name=value``, the value as JSON or Python literal (``.5``, ``None``, ``1,10``), else as text.

    ``alpha=10`` -> ``("alpha", 10)``.
    """
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"write NAME=VALUE, such as alpha=10, not {text!r}")
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return name, read(value.strip())
    return name, value


def feature_budget(text: str) -> float | None:
    """Parse ``--feature-budget``: a number of GB, or ``none`` for no limit."""
    try:
        return read_budget(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def spec_from(arguments: argparse.Namespace) -> FitSpec:
    """Build the spec from parsed arguments; the inverse of :meth:`FitSpec.to_command`.

    Raises
    ------
    BadArguments
        If a parameter is set twice, a backbone other than the default has no layer, or :class:`FitSpec` refuses a value.
    UnknownName
        For an unknown backbone without layer.
    """
    twice = [name for name, times in Counter(name for name, _ in arguments.set).items() if times > 1]
    if twice:
        raise BadArguments(f"--set {twice[0]} is given twice.")
    backbone, layers = _networks(arguments)
    return FitSpec(
        dataset=arguments.dataset,
        subject=arguments.subject,
        backbone=backbone,
        layers=layers,
        weights=arguments.weights,
        input=_input(arguments),
        pool=arguments.pool,
        frames=arguments.frames,
        over_frames=arguments.over_frames,
        layer_scaling=arguments.layer_scaling,
        component_scaling=arguments.component_scaling,
        reduction=arguments.reduction,
        n_components=arguments.components,
        degree=arguments.degree,
        delays=delays_text(map(tuple, arguments.delays)),
        readout=arguments.readout,
        options=dict(arguments.set),
        split=arguments.split or DATASETS[arguments.dataset].split,
        average_repeats=arguments.average_repeats,
        rois=tuple(dict.fromkeys(arguments.roi)),
        hemi=arguments.hemi,
        target_groups=arguments.target_groups,
        extra_subjects=tuple(dict.fromkeys(arguments.extra_subjects)),
        feature_budget=arguments.feature_budget,
        feature_dtype=arguments.feature_dtype,
    )


def _input(arguments: argparse.Namespace) -> str:
    """``--input`` with ``--size`` and ``--interpolation``; a size alone resizes as the network's own preprocessing does, and crops."""
    more = [arguments.size, arguments.interpolation]
    if more == [None, None]:
        return arguments.input
    if ":" in arguments.input:
        raise BadArguments(f"--input {arguments.input} holds its size; leave out --size and --interpolation.")
    return ":".join([arguments.input or INPUTS[0], *("" if value is None else str(value) for value in more)]).rstrip(":")


def _networks(arguments: argparse.Namespace) -> tuple[str, tuple[str, ...]]:
    """Backbone and layers: each layer is of the ``--backbone`` before it; where there is one network, the order does not matter."""
    names, given = arguments.backbone or [FitSpec().backbone], arguments.layer or []
    if len(names) == 1:
        return names[0], tuple(layer for _, layer in given) or _default_layers(names[0])
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise BadArguments(f"--backbone {twice} is given twice. Give its layers one after another.")
    if alone := next((layer for number, layer in given if number == 0), ""):
        raise BadArguments(f"--layer {alone} stands before every --backbone. Of several networks, write each --layer after its --backbone.")
    layers = {name: [layer for place, layer in given if place == number] for number, name in enumerate(names, 1)}
    return join({name: own or _default_layers(name) for name, own in layers.items()})


def _default_layers(backbone: str) -> tuple[str, ...]:
    if backbone == FitSpec().backbone:
        return FitSpec().layers
    known = BACKBONES[backbone].layers(backbone)
    hint = f"Layers: {', '.join(known)}." if known else f"`python -m encoding layers {backbone}` names them."
    raise BadArguments(f"{backbone} needs --layer. {hint}")


def run_fit(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Check the arguments, fit, and write the files of ``--out``."""
    store, started = Store(), time.perf_counter()
    spec = checked_spec(arguments, store, subprogress(progress, 0, 0.2))
    fit_plan = plan(spec, store)
    if arguments.dry_run or fit_plan.key not in store:
        needed = preflight(fit_plan, store, choose_device(arguments.device))
        if arguments.dry_run:
            document = {name: getattr(needed, name) for name in ("seconds", "ram", "gpu", "disk")} | {"problems": list(needed.problems)}
            return Answer(document, "\n".join([f"This fit takes {needed}.", *needed.problems]), code=int(bool(needed.problems)))
        progress.say(f"This takes {needed}.")
    result = fit_anywhere(spec, store, progress, arguments.device)
    result = replace(result, seconds=time.perf_counter() - started)
    if SCORES[arguments.score].needs_ceiling and result.plan.subject.ceiling is None:
        raise BadArguments(f"--score {arguments.score} needs a noise ceiling, and none is known for these responses.")
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
        if arguments.out is not None and arguments.out.expanduser().is_file():
            raise BadArguments(f"--out {arguments.out} is a file; give a folder.")
        spec = spec_from(arguments)
        plan(spec, store, report)
        if arguments.device == "cuda":  # a wish that can fail; asking costs the import of torch
            choose_device(arguments.device)
    return spec


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
        else f"scores    r is the correlation of predicted and measured responses to test images{ceiling}"
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
        f"images    {result.n_train:,} to train, {result.n_test:,} to test ({spec.split})",
        *(["repeats   responses and predictions of a test stimulus are averaged before they are scored"] if spec.average_repeats else []),
        *_test_set_lines(result),
        *_training_lines(result),
        *([f"folds     r is the mean over {len(result.plan.folds)} folds of each fold's r"] if len(result.plan.folds) > 1 else []),
        *(["folds     one fold, of which pooled r is r"] if score == "pooled_r" and len(result.plan.folds) == 1 else []),
        *([f"note      {note}"] if result.plan.has_test and (note := approximate_note(result.n_test_stimuli)) else []),
        f"time      {took}",
        f"key       {result.key}",
        f"kept in   {result.store.path(result.key)}",
    ]
    return "\n".join(lines)


def _test_set_lines(result: Result) -> list[str]:
    """One line per test set of a split that has several: its size, and the mean r of the table's first row in each hemisphere."""
    table, lines = scores_by_test_set(result), []
    for (name, n_test), rows in [] if table.empty else table.groupby(["test_set", "n_test"], sort=False):
        first = rows[rows["roi"] == rows["roi"].iloc[0]]
        means = ", ".join(f"{hemi} {r:.3f}" for hemi, r in zip(first["hemi"], first["r_mean"], strict=True))
        lines.append(f"test set  {name}: {n_test:,} stimuli, mean r of {first['roi'].iloc[0]}: {means}")
    return lines


def _training_lines(result: Result) -> list[str]:
    """One line per hemisphere on the errors of a readout trained in epochs, over all vertices of the first row of the table."""
    errors, lines = result.training_errors(), []
    for row in [] if errors.empty else errors.groupby("hemi", sort=False).first().reset_index().to_dict("records"):
        words = f"mean squared error {row['train_mse']:.4f} while learning, {row['validation_mse']:.4f} on validation images"
        lines.append(f"training  {row['hemi']}, {row['roi']}: {words}, at epoch {row['best_epoch']:g}, in the responses' own unit")
    return lines


def roi_table(result: Result, score: str = "r") -> str:
    """Format one line per ROI: number of vertices, mean score and, beside r, where known, the mean noise ceiling of r, per hemisphere.

    Beside another score stand the ends of its 95 % interval.
    """
    scores, hemis = result.rois().set_index(["roi", "hemi"]), result.plan.hemis
    if score == "pooled_r" and len(result.plan.folds) == 1:
        score = "r"
    columns = {"n_vertices": "vertices", SCORES[score].mean_column: f"mean {SCORES[score].short}"}
    if score == "r":
        columns |= {"ceiling_r": "ceiling"} if "ceiling_r" in scores else {}
    else:
        ends = roi_ends(result, score)
        scores[["low", "high"]] = [ends[place] for place in scores.index]
        columns |= {"low": "95 % from", "high": "to"}
    rows = [
        [roi, *(_cell(name, scores.loc[(roi, hemi), name]) for hemi in hemis for name in columns)] for roi in scores.index.unique("roi")
    ]
    groups = [("", 1), *((SIDES.get(hemi, hemi), len(columns)) for hemi in hemis)]
    return table(["ROI", *list(columns.values()) * len(hemis)], rows, align="<" + ">" * len(columns) * len(hemis), groups=groups)


def _cell(name: str, value: float) -> str:
    if name == "n_vertices":
        return f"{int(value):,}"
    return f"{value:.3f}" if np.isfinite(value) else "-"
