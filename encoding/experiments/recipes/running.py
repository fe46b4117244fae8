"""Run a recipe, and put its published numbers beside ours."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.analysis.hyperparameter_search import search
from encoding.datasets.algonauts2021 import BLOCK
from encoding.datasets.demo import Demo
from encoding.datasets.writers.algonauts2021 import simulate_algonauts2021
from encoding.datasets.writers.algonauts2023 import write_algonauts2023
from encoding.datasets.writers.img2brain import write_img2brain
from encoding.evaluation.normalised_scores import mean_of_roi_means
from encoding.evaluation.scores import SCORES
from encoding.experiments.composition import compose
from encoding.experiments.experiment import Cell, Experiment
from encoding.experiments.graph import PlannedCell, graph_in_use
from encoding.experiments.progress import Run
from encoding.experiments.recipes.recipe import Part, Published, Recipe
from encoding.experiments.run import Executor, run_experiment, run_serially
from encoding.experiments.selection import VALIDATION, Selection, select, with_validation
from encoding.experiments.table import long_table
from encoding.fits.open import open_fit
from encoding.fits.result import Result
from encoding.fits.training_data import is_complete
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

TRACKS = ("mini_track", "full_track")
QUICK_SIZE = 96  # pixels of a quick run's images


@dataclass(frozen=True)
class PartResult:
    """What a part of a recipe gave.

    Attributes
    ----------
    part : the part that was run. table : its long table (:func:`encoding.experiments.table.long_table`).
    errors : a sentence for each fit that failed.
    selection : what was chosen; None where nothing was.
    honest : composed fits with test scores, chosen on validation stimuli. composed : those to predict with, on every stimulus where the
        recipe asks for it.
    """

    part: Part
    table: pd.DataFrame
    errors: tuple[str, ...] = ()
    selection: Selection | None = None
    honest: tuple[Result, ...] = ()
    composed: tuple[Result, ...] = ()


@dataclass(frozen=True)
class RecipeResult:
    """What a recipe gave.

    Attributes
    ----------
    parts : in the recipe's order. published : the source's numbers beside ours (:func:`beside_published`). losses : :func:`losses`.
    data : folder of the simulated data of a quick run, for ``ENCODING_DATA_DIR``; else None.
    """

    parts: tuple[PartResult, ...]
    published: pd.DataFrame
    losses: pd.DataFrame
    data: Path | None = None


def run_recipe(
    recipe: Recipe,
    store: Store,
    *,
    quick: bool = False,
    report: Report = silent,
    device: str = "auto",
    executor: Executor | None = None,
) -> RecipeResult:
    """Run all parts of a recipe; what is stored is not computed again.

    Parameters
    ----------
    quick : few simulated stimuli in the data set's layout, untrained networks and two layers, in this process.

    Raises
    ------
    As :func:`encoding.experiments.run_experiment` and :func:`encoding.experiments.selection.select`.
    """
    if not quick:
        parts = tuple(run_part(part, store, report=each, device=device, executor=executor) for part, each in _reports(recipe.parts, report))
        return RecipeResult(parts, beside_published(recipe, parts, store), losses(parts, store))
    with simulated_data(recipe, store, subprogress(report, 0, 0.3)) as data:
        reports = _reports(recipe.quickly(), subprogress(report, 0.3, 1))
        parts = tuple(run_part(part, store, report=each, device=device) for part, each in reports)
        return RecipeResult(parts, beside_published(recipe, parts, store), losses(parts, store), data)


def _reports(parts: Sequence[Part], report: Report) -> Iterator[tuple[Part, Report]]:
    for number, part in enumerate(parts):
        yield part, subprogress(report, number / len(parts), (number + 1) / len(parts))


def run_part(part: Part, store: Store, *, report: Report = silent, device: str = "auto", executor: Executor | None = None) -> PartResult:
    """Run one part: its search, its fits, the choice and the composition."""
    experiment, executor = part.experiment(), executor or run_serially
    if part.search:
        return _searched(part, experiment, store, report, device, executor)
    choose = dict(part.choose)
    validation = choose.pop("validation", VALIDATION)
    if choose:
        experiment = with_validation(experiment, validation)
    ran = run_experiment(experiment, store, subprogress(report, 0, 0.7), device, executor=executor)
    table = ran.table()
    errors = _errors(ran.cells, ran.status.cells)
    tests = table[~table["split"].str.contains("/")]
    done = [cell for cell in ran.cells if cell.plan is not None and is_complete(cell.plan, store)]
    if not choose or not done:
        return PartResult(part, tests, errors)
    selection = select(done, store, validation=validation, **choose)
    if not part.compose:
        return PartResult(part, tests, errors, selection)
    arguments = dict(part.compose)
    honest = tuple(compose(selection, **arguments | {"refit": False}))
    final = tuple(compose(selection, **arguments, report=subprogress(report, 0.8, 1), device=device, executor=executor))
    return PartResult(part, tests, errors, selection, honest, final if arguments.get("refit") else honest)


def _searched(part: Part, experiment: Experiment, store: Store, report: Report, device: str, executor: Executor) -> PartResult:
    """Search the readout's parameters for each cell, and fit the best of each."""
    cells = experiment.cells()
    best = []
    for number, cell in enumerate(cells):
        trials = subprogress(report, 0.9 * number / len(cells), 0.9 * (number + 1) / len(cells))
        found = search(cell.spec, store, **dict(part.search), report=trials, device=device)
        best.append(Cell(found.best_spec, cell.settings))
    with graph_in_use(best, store, subprogress(report, 0.9, 1)) as graph:
        run = Run(graph)
        executor(run, store, device)
    return PartResult(part, long_table(run.graph.cells, store), _errors(run.graph.cells, run.status().cells))


def _errors(cells: Sequence[PlannedCell], states: Sequence[Any]) -> tuple[str, ...]:
    return tuple(f"{cell.cell.label}: {state.error}" for cell, state in zip(cells, states, strict=True) if state.error)


@contextmanager
def simulated_data(recipe: Recipe, store: Store, report: Report = silent) -> Iterator[Path]:
    """Write simulated subjects in the layout of a recipe's data set, once for each Store, and read data from there within the block."""
    root = store.root / "recipes" / f"{recipe.dataset}-{recipe.quick_stimuli}"
    folder = root / recipe.dataset
    if not folder.exists():
        with store.lock(f"recipe-{recipe.dataset}-{recipe.quick_stimuli}"):
            if not folder.exists():
                root.mkdir(parents=True, exist_ok=True)
                _simulate(recipe, folder, store, report)
    before = os.environ.get("ENCODING_DATA_DIR")
    os.environ["ENCODING_DATA_DIR"] = str(root)
    try:
        yield root
    finally:
        if before is None:
            del os.environ["ENCODING_DATA_DIR"]
        else:
            os.environ["ENCODING_DATA_DIR"] = before


def _simulate(recipe: Recipe, folder: Path, store: Store, report: Report) -> None:
    if recipe.dataset == "algonauts2021":
        simulate_algonauts2021(folder, report, n_clips=recipe.quick_stimuli, subjects=recipe.quick_subjects)
        return
    write = {"algonauts2023": write_algonauts2023, "img2brain": write_img2brain}[recipe.dataset]
    for name in recipe.quick_subjects:
        write(Demo(n_stimuli=recipe.quick_stimuli).open(name, store, report), folder, report, size=QUICK_SIZE)


def beside_published(recipe: Recipe, results: Sequence[PartResult], store: Store) -> pd.DataFrame:
    """Tabulate the published numbers beside ours.

    Returns
    -------
    DataFrame
        Columns what, part, roi, hemi, score, published, ours and n, the number of rows (subjects, say) that ours is the mean of; NaN and 0
        where no fit answers to it.
    """
    import pandas as pd

    by_name = {result.part.name: result for result in results}
    rows = []
    for each in recipe.published:
        values = _ours(each, by_name[each.of], store) if each.of in by_name else []
        row = {"what": each.what, "part": each.of, "roi": each.roi, "hemi": each.hemi, "score": each.score, "published": each.value}
        rows.append(row | {"ours": float(np.mean(values)) if len(values) else np.nan, "n": len(values)})
    return pd.DataFrame(rows)


def losses(results: Sequence[PartResult], store: Store) -> pd.DataFrame:
    """Tabulate the training and validation losses of all parts' fits whose readout is trained in epochs; empty without any.

    Returns
    -------
    DataFrame
        A row per fit, ROI and hemisphere with vertices: part, subject, backbone, layers, target_groups, options, roi, hemi, t_loss and
        v_loss (mean squared errors at the epoch that is kept, in the squared unit of the responses; see
        :meth:`encoding.fits.score_tables.ScoreTables.training_errors`), and r_mean on the test stimuli.
    """
    import pandas as pd

    rows = []
    for result in results:
        for key in result.table["key"].unique() if len(result.table) else ():
            fit = open_fit(key, store)
            errors = fit.training_errors()
            if errors.empty:
                continue
            spec = fit.plan.spec
            about = {"part": result.part.name, "subject": spec.subject, "backbone": spec.backbone, "layers": " + ".join(spec.layers)}
            about |= {"target_groups": spec.target_groups, "options": " ".join(f"{name}={value}" for name, value in spec.options)}
            found = errors.merge(fit.rois()[["roi", "hemi", "r_mean"]], on=["roi", "hemi"]).query("n_vertices > 0")
            names = {"train_mse": "t_loss", "validation_mse": "v_loss"}
            rows.append(found.rename(columns=names)[["roi", "hemi", "t_loss", "v_loss", "r_mean"]].assign(**about))
    if not rows:
        return pd.DataFrame()
    table = pd.concat(rows, ignore_index=True)
    return table[[*about, "roi", "hemi", "t_loss", "v_loss", "r_mean"]]


def _ours(number: Published, result: PartResult, store: Store) -> list[float]:
    """Our values of a published number: of each row of the part's table, or of each subject's fit for a track's score."""
    if number.score in TRACKS:
        return [value for fit in _fits_of(number, result, store) if np.isfinite(value := track_score(fit))]
    table = _rows_where(number, result.table)
    table = table[table["roi"] == number.roi]
    table = table[table["hemi"] == number.hemi] if number.hemi else table
    if number.score == "r_max":
        highest = table["r_best"].dropna()
        return [highest.max()] if len(highest) else []
    column = SCORES[number.score].mean_column if number.score in SCORES else number.score
    return [value for value in table[column].tolist() if np.isfinite(value)] if column in table else []


def _rows_where(number: Published, table: pd.DataFrame) -> pd.DataFrame:
    for column, value in number.where.items():
        table = table[table[column] == value]
    return table


def _fits_of(number: Published, result: PartResult, store: Store) -> list[Result]:
    """The composed fits of a number, or the part's own where it composes none."""
    if result.honest:
        wanted = set(_rows_where(number, result.table)["key"])
        return [fit for fit in result.honest if {member.key for member in fit.members} & wanted]
    return [open_fit(key, store) for key in _rows_where(number, result.table)["key"].unique()]


def track_score(result: Result) -> float:
    """Score of the Algonauts 2021 challenge on a fit's test clips: r over its highest possible value, the mean over voxels of an ROI, then
    over ROIs; over all voxels of a subject of the full track, which has no ROI."""
    if BLOCK not in result.plan.hemis or result.plan.subject.ceiling is None:
        return float("nan")
    rois = result.plan.subject.rois[BLOCK] or {"WB": np.arange(result.plan.subject.responses[BLOCK].shape[1])}
    return mean_of_roi_means(result.score(BLOCK, "normalised_r"), rois)
