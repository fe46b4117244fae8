"""``significance``, ``partition``, ``similarity`` and ``spectrum``: statistics of a finished fit beyond its scores."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.analysis.columns import titled
from encoding.analysis.comparison import FALSE_DISCOVERIES
from encoding.analysis.significance import Significance, significance
from encoding.analysis.similarity import Similarity, similarity
from encoding.analysis.spectrum import Spectrum, spectrum
from encoding.analysis.variance_partition import AND, Partition, checked_spaces, part_name, partition
from encoding.cli.command import CSV, Answer, BadArguments, add_command, add_device, check_out_file, checking_arguments, whole_number
from encoding.cli.exchanging import KEY_HELP
from encoding.cli.terminal import Progress, table
from encoding.datasets._base import roi_names
from encoding.datasets._unit import Unit
from encoding.evaluation.permutation import METHODS, Permutations
from encoding.fits.open import of_regions
from encoding.fits.result import Result
from encoding.fits.score_tables import EVERY_VERTEX
from encoding.runs.table import open_run
from encoding.runtime.csv import to_csv, to_records
from encoding.runtime.progress import subprogress
from encoding.runtime.registry import UnknownName, unknown
from encoding.storage.atomic import atomic_file
from encoding.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

SIGNIFICANCE_MORE = """
Predictions of the test stimuli are permuted against their responses, within folds: one-sided p of r for every vertex, q with the false
discovery rate controlled over all vertices that the fit reports, and how many false positives to expect. All repeats of a stimulus move
together, and so do all rows of a run or session where the data set names them; units change places with units of as many rows only.
"""


PARTITION_MORE = """
Every subset of two to four feature spaces (layers, networks, feature tables) is fitted with the fit's own linear readout. Of the R² on
test stimuli that all explain together, the table gives what only one explains and what exactly two, three or four share (a Venn diagram
as columns), and the product measure of each. Negative shared parts mean that spaces explain more together than apart.
"""


SIMILARITY_MORE = """
Nothing is fitted: the distances of test stimuli from one another in a layer are compared with those in a region (RSA, Spearman and
Kendall's tau-a, with the bounds of its noise ceiling where stimuli are repeated), and inner products with inner products (linear CKA, as
it is and debiased). The encoding score stands beside them.
"""
SPECTRUM_MORE = """
Of responses the spectrum is cross-validated over two presentations of each stimulus, so that noise adds nothing on average (Stringer et
al. 2019); without repeats only the features have one. The exponent is that of variance ~ 1 / rank^exponent.
"""
N_SHOWN = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500)  # ranks of a spectrum


def add_commands(commands: Any) -> None:
    """Add ``significance``, ``partition``, ``similarity`` and ``spectrum``."""
    for add in (_add_significance, _add_partition, _add_similarity, _add_spectrum):
        add(commands)


def _add_regions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--roi",
        nargs="+",
        action="extend",
        default=[],
        metavar="ROI",
        help="regions, or unions such as V1=V1v+V1d, that are reported (default: every vertex and every region)",
    )


def add_region(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--roi`` of a command on one region, which :func:`opened_region` reads."""
    about = f"the ROI {what}, over both hemispheres, or a union such as V1=V1v+V1d (default: all)"
    parser.add_argument("--roi", action="append", default=[], metavar="ROI", help=about)


def opened_region(arguments: argparse.Namespace, result: Result) -> tuple[Result, str]:
    """The fit with the region of ``--roi``, which may be a union, and the region's name."""
    regions = list(dict.fromkeys(arguments.roi)) or [EVERY_VERTEX]
    if len(regions) > 1:
        raise BadArguments(f"--roi takes one region here, or a union of several: name={'+'.join(regions)}.")
    (roi,) = regions
    if "=" in roi:
        with checking_arguments():
            return of_regions(result, [roi]), roi.partition("=")[0].strip()
    if roi not in (known := list(dict.fromkeys((EVERY_VERTEX, *result.selected_rois, *roi_names(result.plan.subject))))):
        raise UnknownName(unknown("ROI of this fit", roi, known, show=40))
    return result, roi


def _opened(arguments: argparse.Namespace, progress: Progress) -> Result:
    """The fit of a command, with the regions that were asked for."""
    result = open_run(arguments.key, Store(), subprogress(progress, 0, 0.1))
    with checking_arguments():
        return of_regions(result, arguments.roi) if arguments.roi else result


def _add_significance(commands: Any) -> None:
    parser = add_command(
        commands,
        "significance",
        run_significance,
        about="Test for every vertex whether it is predicted above chance, by permutation.",
        more=SIGNIFICANCE_MORE,
        examples="significance 3fa92c\nsignificance 3fa92c --permutations 10000 --rate 0.01 --out vertices.csv",
    )
    parser.add_argument("key", metavar="KEY", help=KEY_HELP)
    _add_regions(parser)
    parser.add_argument("--permutations", type=whole_number, default=1_000, metavar="N", help="random orders (default: %(default)s)")
    parser.add_argument(
        "--method",
        choices=("auto", *METHODS),
        default="auto",
        help="blocks: whole units change places; shift: rows of each run are moved along (default: blocks where there are enough units)",
    )
    parser.add_argument("--seed", type=whole_number, default=0, help="of the orders (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=FALSE_DISCOVERIES, help="false discovery rate (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="write r, p and q of every vertex there")


def _add_partition(commands: Any) -> None:
    parser = add_command(
        commands,
        "partition",
        run_partition,
        about="Divide what a fit of several layers or networks explains into unique and shared parts.",
        more=PARTITION_MORE,
        examples="partition 3fa92c\npartition 3fa92c --space early=features.1,features.4 --space late=features.9 --out parts.csv",
    )
    parser.add_argument("key", metavar="KEY", help=KEY_HELP)
    _add_regions(parser)
    parser.add_argument(
        "--space",
        action="append",
        default=[],
        metavar="NAME=LAYER,LAYER",
        help="a feature space and its layers; give it again for each (default: every network, or every layer of the one)",
    )
    add_device(parser)
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="write a row for each ROI, hemisphere and subset there")


def _add_similarity(commands: Any) -> None:
    parser = add_command(
        commands,
        "similarity",
        run_similarity,
        about="Compare the layers of a fit with responses by RSA and CKA, in every ROI.",
        more=SIMILARITY_MORE,
        examples="similarity 3fa92c\nsimilarity 3fa92c --out rsa.csv",
    )
    parser.add_argument("key", metavar="KEY", help=KEY_HELP)
    _add_regions(parser)
    add_device(parser)
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="write a row for each ROI, hemisphere and layer there")


def _add_spectrum(commands: Any) -> None:
    parser = add_command(
        commands,
        "spectrum",
        run_spectrum,
        about="Show how the variance of an ROI's responses, and of the features, is spread over principal components.",
        more=SPECTRUM_MORE,
        examples="spectrum 3fa92c\nspectrum 3fa92c --roi V1 --out spectrum.csv",
    )
    parser.add_argument("key", metavar="KEY", help=KEY_HELP)
    add_region(parser, "whose responses are examined")
    add_device(parser)
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="write the share of variance of every rank there")


def run_significance(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Permute the test stimuli of a fit."""
    check_out_file(arguments.out, CSV)
    if not 0 < arguments.rate < 1:
        raise BadArguments(f"--rate is a false discovery rate between 0 and 1, not {arguments.rate:g}.")
    with checking_arguments():
        permutations = Permutations(n_permutations=arguments.permutations, seed=arguments.seed, method=arguments.method)
        result = _opened(arguments, progress)
        found = significance(result, subprogress(progress, 0.1, 1), permutations=permutations)
    rows = found.table(arguments.rate)
    document = {"key": result.key, "method": found.method, "permutations": arguments.permutations, "rate": arguments.rate}
    document |= {"n_tested": found.n_tested, "n_found": found.n_found(arguments.rate), "rois": to_records(rows)}
    vertices = titled(found.vertices(), result.plan.subject.unit)
    return written(arguments.out, vertices, Answer(document, describe_significance(found, rows, arguments.rate)))


def describe_significance(found: Significance, rows: pd.DataFrame, rate: float) -> str:
    """Format a permutation test as a table and an explanation."""
    shown = rows[rows["n_tested"] > 0].drop(columns="n_vertices")
    kinds = ("", "", "d", ".3f", "d", ".1f", "d", ".1f", ".3f")
    return f"{cells(titled(shown, found.result.plan.subject.unit), kinds)}\n\n{found.describe(rate)}\nkey        {found.result.key}"


def run_partition(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Fit every subset of a fit's feature spaces."""
    check_out_file(arguments.out, CSV)
    spaces = {name: tuple(layers.split(",")) for name, _, layers in (each.partition("=") for each in arguments.space)}
    if any(not name or layers == ("",) for name, layers in spaces.items()) or len(spaces) < len(arguments.space):
        raise BadArguments("--space is a name of its own and layers, such as early=features.1,features.4.")
    result = _opened(arguments, progress)
    with checking_arguments():
        checked_spaces(result, spaces or None)
    found = partition(result, subprogress(progress, 0.1, 1), arguments.device, spaces=spaces or None)
    document = {
        "key": result.key,
        "spaces": {name: list(layers) for name, layers in found.spaces.items()},
        "rois": to_records(found.table()),
    }
    return written(arguments.out, titled(found.table(), result.plan.subject.unit), Answer(document, describe_partition(found)))


def describe_partition(found: Partition) -> str:
    """Format a partition as a table of ROIs by parts of R², and an explanation."""
    rows = found.table()
    rows = rows[rows["n_vertices"] > 0]
    rows = rows.assign(reach=rows["part_high"] - rows["part"])
    parts = rows.pivot(index=["roi", "hemi"], columns="spaces", values=["part", "reach"])
    parts = parts[[(value, AND.join(subset)) for subset in found.subsets for value in ("part", "reach")]]
    parts.columns = [name if value == "part" else f"{name} ±" for value, name in parts.columns]
    whole = rows[rows["spaces"] == AND.join(found.subsets[-1])].set_index(["roi", "hemi"])["r2"]
    product = rows.pivot(index=["roi", "hemi"], columns="spaces", values="product")[list(found.spaces)]
    order = rows[["roi", "hemi"]].drop_duplicates().apply(tuple, axis=1)
    table_rows = parts.assign(whole=whole).join(product, rsuffix=" product").loc[list(order)].reset_index()
    header = [
        "ROI",
        "hemisphere",
        *(each for T in found.subsets for each in (part_name(T), "±")),
        "all, R²",
        *(f"product {name}" for name in found.spaces),
    ]
    lines = [
        cells(table_rows.set_axis(header, axis=1), ("", "", *[".3f"] * (len(header) - 2))),
        "",
        f"Parts of the R² on test stimuli that exactly these spaces explain, means over {found.result.plan.subject.unit.many}; they sum to",
        "the R² of all. ±: half of the 95 % interval over test stimuli, or over runs and sessions where the data set names them.",
        "product: the product measure of the model of all spaces, which sums to R² as well.",
        *(f"{name:10s} {', '.join(layers)}" for name, layers in found.spaces.items()),
        f"key        {found.result.key}",
    ]
    return "\n".join(lines)


def run_similarity(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Compare the features of a fit with responses by RSA and CKA."""
    check_out_file(arguments.out, CSV)
    result = _opened(arguments, progress)
    found = similarity(result, subprogress(progress, 0.1, 1), arguments.device)
    document = {"key": result.key, "n_stimuli": found.n_stimuli, "n_repeats": found.n_repeats, "rois": to_records(found.table())}
    return written(arguments.out, titled(found.table(), result.plan.subject.unit), Answer(document, describe_similarity(found)))


def describe_similarity(found: Similarity) -> str:
    """Format RSA and CKA as a table, and an explanation."""
    rows = found.table()
    rows = rows[rows["rsa"].notna()]
    shown = ["roi", "hemi", "space", "rsa", "rsa_tau", "cka", "cka_debiased", "r_mean"]
    lines = [f"{found.n_stimuli:,} test stimuli" + (" in each fold" if len(found.result.plan.folds) > 1 else "")]
    if found.n_repeats:
        shown[5:5] = ["rsa_repeats", "ceiling_low", "ceiling_high"]
        lines.append(f"single repeats: each of {found.n_repeats} presentations, which the ceiling bounds; others are of their mean")
    text = cells(titled(rows[shown]), ("", "", "", *[".3f"] * (len(shown) - 3)))
    return "\n".join([text, "", *lines, f"key        {found.result.key}"])


def run_spectrum(arguments: argparse.Namespace, progress: Progress) -> Answer:
    """Compute the spectra of an ROI's responses and of the features."""
    check_out_file(arguments.out, CSV)
    result, roi = opened_region(arguments, open_run(arguments.key, Store(), subprogress(progress, 0, 0.1)))
    found = spectrum(result, roi, subprogress(progress, 0.1, 1), arguments.device)
    exponents = {name: value if np.isfinite(value) else None for name, value in found.exponents().items()}
    variance = {"responses": found.responses.tolist()} | {name: values.tolist() for name, values in found.features.items()}
    document = {"key": result.key, "roi": found.roi, "n_stimuli": found.n_stimuli, "exponents": exponents, "variance": variance}
    return written(arguments.out, found.table(), Answer(document, describe_spectrum(found, result.plan.subject.unit)))


def describe_spectrum(found: Spectrum, unit: Unit) -> str:
    """Format spectra at some ranks as a table, and their exponents."""
    rows = found.table()
    rows = rows[rows["rank"].isin(N_SHOWN)]
    text = cells(rows, ("d", *[".4f"] * (len(rows.columns) - 1)))
    exponents = [f"exponent   {name} {value:.2f}" for name, value in found.exponents().items() if np.isfinite(value)]
    why = [] if len(found.responses) else ["responses have no spectrum: no stimuli are repeated"]
    about = f"share of variance by rank, {found.roi}, {found.n_stimuli:,} stimuli, {unit.count(found.n_vertices)}"
    return "\n".join([text, "", about, *why, *(exponents or ["exponent   not defined: too few stimuli"])])


def cells(rows: pd.DataFrame, kinds: tuple[str, ...]) -> str:
    """Format a table with one format of numbers a column (empty for text); NaN becomes ``-``."""
    lines = [
        [str(value) if not kind else "-" if not np.isfinite(value) else f"{value:,{kind}}" for value, kind in zip(row, kinds, strict=True)]
        for row in rows.itertuples(index=False)
    ]
    return table(list(rows.columns), lines, align="".join(">" if kind else "<" for kind in kinds))


def written(out: Path | None, rows: pd.DataFrame, answer: Answer) -> Answer:
    """Write a table to ``--out`` where it was given, and say so in the answer."""
    if out is None:
        return answer
    path = out.expanduser().resolve()
    with atomic_file(path, "w") as file:
        file.write(to_csv(rows))
    return Answer(answer.document | {"out": str(path)}, f"{answer.text}\nwritten    {path}", answer.code)
