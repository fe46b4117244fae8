"""Results of an experiment as one long table: a row per fit, test set, ROI and hemisphere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.analysis.bootstrap import drawn_scores, intervals_of, score_intervals
from encoding.analysis.layer_ranking import interval_of_draws, roi_draws
from encoding.evaluation.scores import SCORES
from encoding.experiments.graph import PlannedCell
from encoding.fits.result import Result
from encoding.fits.score_tables import BOTH, EVERY_VERTEX
from encoding.fits.training_data import is_complete
from encoding.runtime.csv import to_csv
from encoding.storage.atomic import atomic_file
from encoding.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd

SPEC_COLUMNS = (
    "dataset", "subject", "backbone", "weights", "layers", "pool", "n_components", "readout", "options", "split",
)  # fmt: skip
SUFFIXES = (".csv", ".parquet")
REGIONS = "mean of regions"
"""The row that is the mean over ROIs of their scores, so that small ROIs count as much as large ones."""


def score_columns() -> list[str]:
    """Columns of all scores: for each its statistics over vertices, and the ends of the mean's 95 % interval."""
    columns: list[str] = []
    for score in SCORES.values():
        columns += [*map(score.column, score.statistics), f"{score.key}_low", f"{score.key}_high"]
    return columns


COLUMNS = (
    *SPEC_COLUMNS, "test_set", "simulated", "roi", "hemi", "n_vertices", *score_columns(),
    "ceiling_r", "ceiling_r2", "n_normalised", "n_train", "n_test", "n_test_stimuli", "seconds", "key",
)  # fmt: skip
"""Columns of :func:`long_table`, before those of varied settings that have none here."""


def long_table(cells: Iterable[PlannedCell], store: Store, *, both: bool = False) -> pd.DataFrame:
    """Tabulate every finished fit; may be called while the others are still running, since only the Store is read.

    Parameters
    ----------
    cells : planned cells of an experiment (:func:`encoding.experiments.graph.plan_cells`).
    both : whether there are also rows of both hemispheres together, as of :meth:`encoding.fits.score_tables.ScoreTables.rois`.

    Returns
    -------
    DataFrame
        :data:`COLUMNS`, then the other settings that vary, as text. Scores are means, medians and best values over the vertices of the
        ROI, of the mean over folds, as in :meth:`encoding.fits.score_tables.ScoreTables.rois`; ``<score>_low`` and ``<score>_high`` are
        the ends of the mean's 95 % interval. Of fits with several ROIs the rows
        :data:`REGIONS` hold the means over ROIs, without intervals. NaN where a score needs a noise ceiling and none is known, where
        there is no interval, or where it is not computed yet. ``test_set`` names the test set of a split that comes with the data; where
        the split has several and names none of them, each that was scored has rows, with a ``key`` of its own. ``ceiling_r`` and
        ``ceiling_r2`` are the highest mean r and R² that noise allows; ``n_normalised`` the number of vertices with a normalised score;
        ``n_test`` the rows that are scored over all folds, ``n_test_stimuli`` the units that intervals resample; ``seconds`` those of the
        fit itself, without the stages that it shares with other fits.
    """
    import pandas as pd

    cells = [each for each in cells if each.plan is not None]
    others = list(dict.fromkeys(name for each in cells for name in each.cell.settings if name not in COLUMNS))
    rows: list[dict[str, Any]] = []
    for each in cells:
        if is_complete(each.plan, store):
            for test_set, plan in (each.plan.scored_test_sets or {"": each.plan}).items():
                if is_complete(plan, store):
                    rows += _rows(each, Result(plan, store), test_set, both)
    return pd.DataFrame(rows, columns=[*COLUMNS, *others])


def _rows(planned: PlannedCell, result: Result, test_set: str, both: bool) -> list[dict[str, Any]]:
    spec = planned.plan.spec
    fit = {name: getattr(spec, name) for name in SPEC_COLUMNS}
    fit |= {"layers": " + ".join(spec.layers), "options": " ".join(f"{name}={value}" for name, value in spec.options)}
    fit |= {"test_set": test_set, "simulated": planned.plan.subject.simulated, "n_train": result.n_train, "n_test": result.n_test}
    fit |= {"n_test_stimuli": result.n_test_stimuli, "key": result.key}
    fit["seconds"] = float(result.provenance.get("made_from", {}).get("fit_seconds", np.nan))
    fit |= {name: text for name, text in planned.cell.settings.items() if name not in COLUMNS}
    intervals, rows = intervals_of(result), []
    places = {} if intervals is None else {str(roi): place for place, roi in enumerate(intervals["rois"])}
    table = result.rois(both=both)
    ends = {} if intervals is None else {hemi: _interval_ends(result, intervals, hemi) for hemi in table["hemi"].unique()}
    hidden = {score.column(name): np.nan for key, score in SCORES.items() if key not in result.score_names for name in score.statistics}
    for row in table.to_dict("records"):
        place = places.get(row["roi"])
        found = {} if place is None else {column: values[place] for column, values in ends[row["hemi"]].items()}
        rows.append(fit | row | found | hidden)
    rois = table[~table["roi"].isin([EVERY_VERTEX])]
    if rois["roi"].nunique() > 1:
        scores = [name for name in table if name in score_columns()]
        for hemi, some in rois.groupby("hemi", sort=False):
            union = {each: np.unique(np.concatenate([result.columns(roi, each) for roi in some["roi"]])) for each in result.plan.hemis}
            n_vertices = sum(len(columns) for each, columns in union.items() if hemi in (each, BOTH))
            row = {"roi": REGIONS, "hemi": hemi, "n_vertices": n_vertices} | some[scores].mean().to_dict()
            rows.append(fit | row | hidden)
    return rows


def _interval_ends(result: Result, intervals: Mapping[str, np.ndarray], hemi: str) -> dict[str, np.ndarray]:
    """``<score>_low`` and ``<score>_high`` (n_rois,) of a hemisphere, or of :data:`~encoding.fits.score_tables.BOTH`."""
    found: dict[str, np.ndarray] = {}
    drawn = drawn_scores(intervals, result.plan.hemis)
    for name in SCORES:
        if hemi != BOTH:
            ends = score_intervals(intervals, hemi, name)
        elif name in drawn:
            ends = interval_of_draws(roi_draws(result, BOTH, name), name, int(intervals["df"]))
        else:
            ends = None
        found |= {} if ends is None else dict(zip((f"{name}_low", f"{name}_high"), ends, strict=True))
    return found


def save_table(table: pd.DataFrame, path: str | Path) -> Path:
    """Write a table as ``.parquet`` or ``.csv``, whole or not at all, and return the absolute path.

    Raises
    ------
    ValueError
        For another suffix.
    OSError
        Where the file cannot be written.
    """
    path = Path(path).expanduser().resolve()
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path.name} must end in {' or '.join(SUFFIXES)}.")
    if path.suffix == ".parquet":
        with atomic_file(path) as file:
            table.to_parquet(file, index=False)
    else:
        with atomic_file(path, "w") as file:
            file.write(to_csv(table))
    return path
