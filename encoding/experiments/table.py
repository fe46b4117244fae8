"""Results of an experiment as one long table: a row per fit, ROI and hemisphere."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.analysis.bootstrap import intervals_of, score_intervals
from encoding.evaluation.scores import SCORES
from encoding.experiments.graph import PlannedCell
from encoding.fits.result import Result
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


def score_columns() -> list[str]:
    """Columns of all scores: for each its mean, its median where one is defined, and the ends of the mean's 95 % interval."""
    columns: list[str] = []
    for score in SCORES.values():
        columns += [score.mean_column, *([score.median_column] if score.has_median else []), f"{score.key}_low", f"{score.key}_high"]
    return columns


COLUMNS = (
    *SPEC_COLUMNS, "simulated", "roi", "hemi", "n_vertices", *score_columns(),
    "ceiling_r", "n_normalised", "n_train", "n_test", "n_test_stimuli", "seconds", "key",
)  # fmt: skip
"""Columns of :func:`long_table`, before those of varied settings that have none here."""


def long_table(cells: Iterable[PlannedCell], store: Store) -> pd.DataFrame:
    """Tabulate every finished fit; may be called while the others are still running, since only the Store is read.

    Parameters
    ----------
    cells : planned cells of an experiment (:func:`encoding.experiments.graph.plan_cells`).

    Returns
    -------
    DataFrame
        :data:`COLUMNS`, then the other settings that vary, as text. Scores are means (and medians) over the vertices of the ROI, of the
        mean over folds, as in :meth:`encoding.fits.score_tables.ScoreTables.rois`; ``<score>_low`` and ``<score>_high`` are the ends of the
        mean's 95 % interval. NaN where a score needs a noise ceiling and none is known, where there is no interval, or where it is not
        computed yet. ``ceiling_r`` is the highest mean r that noise allows; ``n_normalised`` the number of vertices with a normalised
        score; ``n_test`` the rows that are scored over all folds, ``n_test_stimuli`` the units that intervals resample; ``seconds``
        those of the fit itself, without the stages that it shares with other fits.
    """
    import pandas as pd

    cells = [each for each in cells if each.plan is not None]
    others = list(dict.fromkeys(name for each in cells for name in each.cell.settings if name not in COLUMNS))
    rows = [row for each in cells if is_complete(each.plan, store) for row in _rows(each, store)]
    return pd.DataFrame(rows, columns=[*COLUMNS, *others])


def _rows(planned: PlannedCell, store: Store) -> list[dict[str, Any]]:
    result, spec = Result(planned.plan, store), planned.plan.spec
    fit = {name: getattr(spec, name) for name in SPEC_COLUMNS}
    fit |= {"layers": " + ".join(spec.layers), "options": " ".join(f"{name}={value}" for name, value in spec.options)}
    fit |= {"simulated": planned.plan.subject.simulated, "n_train": result.n_train, "n_test": result.n_test}
    fit |= {"n_test_stimuli": result.n_test_stimuli, "key": result.key}
    fit["seconds"] = float(result.provenance.get("made_from", {}).get("fit_seconds", np.nan))
    fit |= {name: text for name, text in planned.cell.settings.items() if name not in COLUMNS}
    intervals, rows = intervals_of(result), []
    places = {} if intervals is None else {str(roi): place for place, roi in enumerate(intervals["rois"])}
    for row in result.rois().to_dict("records"):
        ends: dict[str, float] = {}
        for score in SCORES.values():
            found = None if intervals is None else score_intervals(intervals, row["hemi"], score.key)
            if found is not None:
                ends |= {
                    f"{score.key}_{end}": float(values[places[row["roi"]]]) for end, values in zip(("low", "high"), found, strict=True)
                }
        hidden = {score.mean_column: np.nan for key, score in SCORES.items() if key not in result.score_names}
        rows.append(fit | row | ends | hidden)
    return rows


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
