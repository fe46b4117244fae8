"""Scores of a finished fit as tables of ROIs and vertices, and as files to save."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.datasets._base import roi_names
from encoding.evaluation.scores import LEAST_CEILING, SCORES, STORED_SCORES
from encoding.fits.notebook_view import result_html
from encoding.fits.vertex_scores import VertexScores
from encoding.readouts._stopping import AT_BEST
from encoding.runtime.csv import to_csv, to_records
from encoding.runtime.registry import UnknownName, unknown
from encoding.storage.atomic import atomic_files_into
from encoding.storage.npy import write_npy

if TYPE_CHECKING:
    import pandas as pd

EVERY_VERTEX = "all"  # the table row of every vertex of a hemisphere
BOTH = "both"  # in tables: the vertices of all hemispheres together


class ScoreTables(VertexScores):
    """Scores of a finished fit as tables, of ROIs and of vertices, and as files to save."""

    @cached_property
    def selected_rois(self) -> tuple[str, ...]:
        """ROIs of the spec; where it names none, ``all`` vertices and then every ROI."""
        return self.plan.spec.roi_names or (EVERY_VERTEX, *roi_names(self.plan.subject))

    def columns(self, roi: str, hemi: str) -> np.ndarray:
        """Columns of an ROI in a hemisphere, sorted int64; empty where it has none there. UnknownName for what the subject lacks."""
        subject = self.plan.subject
        self._check_block(hemi)
        if roi == EVERY_VERTEX:
            return np.arange(subject.responses[hemi].shape[1])
        if roi in subject.rois[hemi]:
            return subject.rois[hemi][roi]
        if roi not in (known := roi_names(subject)):
            raise UnknownName(unknown(f"ROI of {subject.dataset} {subject.name}", roi, (EVERY_VERTEX, *known), show=40))
        return np.zeros(0, np.int64)

    def predicted_columns(self, roi: str, hemi: str) -> np.ndarray:
        """Those of :meth:`columns` that the fit predicts: fewer in a fit of one vertex, or of some ROIs each with its own model."""
        groups, columns = self.plan.target_groups, self.columns(roi, hemi)
        if any(group.whole for group in groups if hemi in group.columns):
            return columns
        return np.intersect1d(columns, np.concatenate([group.columns[hemi] for group in groups if hemi in group.columns]))

    def rois_without_vertices(self, hemi: str = BOTH) -> list[str]:
        """Reported ROIs that have no vertices in a hemisphere, or in any of the fit; of others the fit may predict none all the same."""
        hemis = self.plan.hemis if hemi == BOTH else (hemi,)
        return [roi for roi in self.selected_rois if not any(len(self.columns(roi, each)) for each in hemis)]

    def rois(self, *, least_ceiling: float = LEAST_CEILING, both: bool = False) -> pd.DataFrame:
        """Tabulate scores, one row for each ROI and hemisphere, of the vertices that the fit predicts.

        An ROI of which it predicts none has ``n_vertices`` 0 and NaN scores and ceilings.

        Columns: roi, hemi, n_vertices, then for each of :data:`encoding.evaluation.scores.SCORES` the mean over vertices (``r_mean``,
        ``r2_mean``, else the score's key), where it is defined the median (``<key>_median``), and the best vertex' (``<key>_best``).
        Scores that need a noise ceiling are included where it is known, with n_normalised, the number of vertices with a ceiling of
        ``least_ceiling`` or more, and the highest means that a model can reach: ceiling_r, the mean square root of the ceiling, and
        ceiling_r2, the mean ceiling; ``pooled_r`` where :attr:`has_pooled`.

        Parameters
        ----------
        both : whether each ROI also has a row of all hemispheres together, :data:`BOTH`, in which every vertex counts once; not where
            there is one hemisphere.
        """
        import pandas as pd

        sides = [(hemi,) for hemi in self.plan.hemis]
        sides += [self.plan.hemis] if both and len(sides) > 1 else []
        values = {hemi: self._measures(hemi, least_ceiling) for hemi in self.plan.hemis}
        return pd.DataFrame([self._roi_row(roi, hemis, values) for roi in self.selected_rois for hemis in sides])

    def _measures(self, hemi: str, least_ceiling: float) -> dict[str, np.ndarray]:
        """Of every vertex (n_vertices,): the scores that there are and, where noise ceilings are known, the highest possible r and R²."""
        ceiling = self.ceiling(hemi)
        known = {} if ceiling is None else {"ceiling_r": np.sqrt(ceiling), "ceiling_r2": ceiling}
        for score in SCORES.values():
            if not (score.needs_ceiling and ceiling is None) and not (score.pooled and not self.has_pooled):
                known[score.key] = self.score(hemi, score.key, least_ceiling=least_ceiling)
        return known

    def _roi_row(self, roi: str, hemis: Sequence[str], measures: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
        columns = {hemi: self.predicted_columns(roi, hemi) for hemi in hemis}
        row: dict[str, Any] = {"roi": roi, "hemi": hemis[0] if len(hemis) == 1 else BOTH, "n_vertices": sum(map(len, columns.values()))}
        values = {name: np.concatenate([measures[hemi][name][columns[hemi]] for hemi in hemis]) for name in measures[hemis[0]]}
        if "ceiling_r" in values:
            row |= {name: _over(np.mean, values[name]) for name in ("ceiling_r", "ceiling_r2")}
            row |= {"n_normalised": int(np.isfinite(values["normalised_r2"]).sum())}
        for name in values:
            row |= SCORES[name].summary(values[name]) if name in SCORES else {}
        return row

    def training_errors(self) -> pd.DataFrame:
        """Tabulate the errors of a readout that was trained in epochs, at the epoch whose weights are kept; empty for other readouts.

        One row for each ROI and hemisphere: roi, hemi, n_vertices, best_epoch (the median over vertices), train_mse (over the training
        images, while learning) and validation_mse (over the images set aside for early stopping), both the mean over vertices and
        folds of the mean squared error, in the squared unit of the responses, and validation_r. NaN where a fit of an earlier
        version has none, and for an empty ROI.
        """
        import pandas as pd

        if "best_epoch" not in self.detail_names:
            return pd.DataFrame()
        rows = []
        for roi in self.selected_rois:
            for hemi in self.plan.hemis:
                columns = self.columns(roi, hemi)
                row = {"roi": roi, "hemi": hemi, "n_vertices": len(columns)}
                row["best_epoch"] = _over(np.median, self.score(hemi, "best_epoch")[columns])
                for name in AT_BEST:
                    known = name in self.detail_names
                    row[name] = _over(np.mean, self.score(hemi, name)[columns]) if known else float("nan")
                rows.append(row)
        return pd.DataFrame(rows)

    @property
    def _selected_columns(self) -> dict[str, np.ndarray]:
        """Hemisphere to the columns of the selected ROIs."""
        return {hemi: np.unique(np.concatenate([self.columns(roi, hemi) for roi in self.selected_rois])) for hemi in self.plan.hemis}

    def vertices(self) -> pd.DataFrame:
        """Tabulate the vertices of the selected ROIs: hemi, column, fsaverage index (where known), its ROIs, scores, ceiling, details."""
        return self._vertex_table(self._selected_columns, (*STORED_SCORES, *self.detail_names))

    def best_and_worst(self, n: int = 10, score: str = "r", columns: Mapping[str, np.ndarray] | None = None) -> pd.DataFrame:
        """Tabulate the vertices that are predicted best and worst, best first: of an error, the lowest.

        Parameters
        ----------
        n : vertices at each end; of fewer than 2 n, each stands in the table once. Those without the score are left out.
        score : a key of :data:`~encoding.evaluation.scores.SCORES` or of :attr:`detail_names`.
        columns : hemisphere to the columns (n_selected,) that are ranked; None for those of the selected ROIs.

        Returns
        -------
        DataFrame
            ``rank`` (1 is best), then the columns of :meth:`vertices`, the score and, where known, ``ceiling_r``, the highest r that noise
            allows.
        """
        columns = self._selected_columns if columns is None else columns
        table = self._vertex_table(columns, dict.fromkeys((*STORED_SCORES, *self.detail_names, score)))
        lowest_first = score in SCORES and SCORES[score].lower_is_better
        table = table[np.isfinite(table[score])].sort_values(score, ascending=lowest_first, kind="stable", ignore_index=True)
        table.insert(0, "rank", np.arange(1, len(table) + 1))
        if "ceiling" in table:
            table["ceiling_r"] = np.sqrt(table["ceiling"])
        return table if len(table) <= 2 * n else table.drop(index=range(n, len(table) - n)).reset_index(drop=True)

    def _vertex_table(self, columns: Mapping[str, np.ndarray], names: Iterable[str]) -> pd.DataFrame:
        import pandas as pd

        subject, parts = self.plan.subject, []
        for hemi, chosen in columns.items():
            part: dict[str, Any] = {"hemi": hemi, "column": chosen}
            if subject.vertices is not None:
                part["fsaverage"] = subject.vertices[hemi][chosen]
            part["rois"] = self.roi_labels(hemi)[chosen]
            part |= {name: self.score(hemi, name)[chosen] for name in names}
            if (ceiling := self.ceiling(hemi)) is not None:
                part["ceiling"] = ceiling[chosen]
            parts.append(pd.DataFrame(part))
        return pd.concat(parts, ignore_index=True)

    def kept_variance(self) -> list[dict[str, Any]]:
        """What the components of each group of layers keep; empty where components are not in the Store.

        Returns
        -------
        One dict for each of :attr:`Plan.spaces`: ``layers``; ``reduced``, whether they were reduced in the pass and never stored;
        ``explained``, the fraction of the training features' variance that the components keep, the mean over folds.
        """
        return []

    def summary(self) -> dict[str, Any]:
        """JSON-serialisable summary, as ``python -m encoding fit --json`` prints it; NaN becomes None."""
        wanted = ["roi", "hemi", "n_vertices", "r_mean", "r_median", "pooled_r", "r2_mean", "rmse", "mae", "smooth_l1"]
        wanted += ["ceiling_r", "ceiling_r2", *(score.mean_column for score in SCORES.values() if score.needs_ceiling)]
        table = self.rois()
        wanted = [name for name in wanted if name in table]
        rows = to_records(table[wanted])
        return {
            "key": self.key,
            "spec": self.plan.spec.to_dict(),
            "simulated": self.plan.subject.simulated,
            "cached": self.cached,
            "seconds": round(self.seconds, 3),
            "device": self.provenance.get("made_from", {}).get("device"),
            "n_train": self.n_train,
            "n_test": self.n_test,
            "components": self.kept_variance(),
            "rois": rows,
            "training_errors": to_records(self.training_errors()),
        }

    def _repr_html_(self) -> str:
        """Bars and a table of every ROI, for a notebook."""
        return result_html(self)

    def save(self, folder: str | Path) -> Path:
        """Write spec.json, rois.csv, vertices.parquet and ``<hemi>_r.npy`` (n_vertices,) into ``folder``."""
        folder = Path(folder).expanduser()
        about = {"spec": self.plan.spec.to_dict(), "simulated": self.plan.subject.simulated, "provenance": dict(self.provenance)}
        with atomic_files_into(folder) as scratch:
            (scratch / "spec.json").write_text(json.dumps(about, indent=1))
            (scratch / "rois.csv").write_text(to_csv(self.rois()), "utf-8")
            self.vertices().to_parquet(scratch / "vertices.parquet", index=False)
            for hemi in self.plan.hemis:
                write_npy(scratch / f"{hemi}_r.npy", self.score(hemi).astype(np.float32))
        return folder


def _over(statistic: Any, values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(statistic(values)) if len(values) else float("nan")
