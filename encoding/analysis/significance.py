"""Significance of every vertex of a finished fit: a permutation test of r, the false discovery rate, and expected false positives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from encoding.analysis.bootstrap import noise_share
from encoding.analysis.comparison import FALSE_DISCOVERIES, false_discovery
from encoding.evaluation.permutation import Permutations, choose_method, expected_above, n_orders, permuted, row_orders
from encoding.evaluation.resampling import blocks_of
from encoding.fits.digests import reads_digest
from encoding.fits.result import Result
from encoding.runtime.progress import Report, silent
from encoding.runtime.threads import map_in_threads
from encoding.storage.keys import digest

if TYPE_CHECKING:
    import pandas as pd

SIGNIFICANCE_VERSION = 1
VERTICES_AT_A_TIME = 512  # permuted at once: predictions of 1,000 stimuli are 2 MB, which a core's cache holds
PRODUCTS_PER_SECOND = 1e9  # of one core, for an estimate of the duration


@dataclass(frozen=True)
class Significance:
    """Permutation test of every vertex in the selected ROIs of a fit.

    Attributes
    ----------
    result : the fit. permutations : how it was tested.
    method : ``blocks`` or ``shift`` (:mod:`encoding.evaluation.permutation`).
    n_units : test units (stimuli, runs) over all folds. n_fixed : those of a size that no other has, which change places with none.
    p : hemisphere to (n_vertices,) float64, one-sided; NaN outside of the ROIs, and for constant responses.
    counts : of permuted r over all tested vertices (:func:`encoding.evaluation.permutation.permuted`).
    """

    result: Result
    permutations: Permutations
    method: str
    n_units: int
    n_fixed: int
    p: Mapping[str, np.ndarray]
    counts: np.ndarray

    @cached_property
    def q(self) -> dict[str, np.ndarray]:
        """p adjusted for the false discovery rate over all tested vertices of all hemispheres, hemisphere to (n_vertices,)."""
        q = false_discovery(np.concatenate(list(self.p.values())))
        return dict(zip(self.p, np.split(q, np.cumsum([len(p) for p in self.p.values()])[:-1]), strict=True))

    @property
    def n_tested(self) -> int:
        """Number of vertices with a test."""
        return sum(int(np.isfinite(p).sum()) for p in self.p.values())

    def n_found(self, rate: float = FALSE_DISCOVERIES) -> int:
        """Number of vertices at a false discovery rate; of these ``rate`` times as many are expected to be false at most."""
        return sum(int((q <= rate).sum()) for q in self.q.values())

    def expected_false(self, r: float) -> float:
        """Expected number of vertices whose r reaches a threshold by chance, if no vertex were predicted at all."""
        return expected_above(self.counts, self.permutations.n_permutations, r)

    def thresholded(self, rate: float = FALSE_DISCOVERIES) -> dict[str, np.ndarray]:
        """r of the vertices at a false discovery rate, hemisphere to (n_vertices,); NaN of all others."""
        return {hemi: np.where(q <= rate, self.result.score(hemi), np.nan) for hemi, q in self.q.items()}

    def table(self, rate: float = FALSE_DISCOVERIES, level: float = 0.05) -> pd.DataFrame:
        """Tabulate each ROI and hemisphere.

        Columns: roi, hemi, n_vertices, n_tested; r_mean, over the tested ones; n_below, of p <= ``level``, and by_chance, how many of them
        are expected where no vertex is predicted; n_found, of q <= ``rate``, and false_found, how many of those are expected to be false at
        most; least_r, the lowest r that is found, NaN where none is.
        """
        import pandas as pd

        rows = []
        for roi in self.result.selected_rois:
            for hemi, p in self.p.items():
                columns = self.result.columns(roi, hemi)
                tested = columns[np.isfinite(p[columns])]
                r, found = self.result.score(hemi)[tested], self.q[hemi][tested] <= rate
                row = {"roi": roi, "hemi": hemi, "n_vertices": len(columns), "n_tested": len(tested)}
                row |= {"r_mean": float(r.mean()) if len(r) else np.nan}
                row |= {"n_below": int((p[tested] <= level).sum()), "by_chance": level * len(tested)}
                row |= {"n_found": int(found.sum()), "false_found": rate * int(found.sum())}
                rows.append(row | {"least_r": float(r[found].min()) if found.any() else np.nan})
        return pd.DataFrame(rows)

    def vertices(self) -> pd.DataFrame:
        """Tabulate the tested vertices: hemi, column, fsaverage (where known), r, p, q."""
        import pandas as pd

        tables = []
        for hemi, p in self.p.items():
            columns = np.flatnonzero(np.isfinite(p))
            places = self.result.plan.subject.vertices
            known = {} if places is None else {"fsaverage": np.asarray(places[hemi])[columns]}
            numbers = {"r": self.result.score(hemi)[columns], "p": p[columns], "q": self.q[hemi][columns]}
            tables.append(pd.DataFrame({"hemi": hemi, "column": columns} | known | numbers))
        return pd.concat(tables, ignore_index=True)

    def describe(self, rate: float = FALSE_DISCOVERIES) -> str:
        """What was tested and found, in two or three sentences."""
        unit, n, found = self.result.plan.subject.unit, self.n_tested, self.n_found(rate)
        how = "permuted" if self.method == "blocks" else "each shifted along by a random number of rows"
        folds = " within folds, widened for what folds share" if len(self.result.plan.folds) > 1 else ""
        fixed = f", of which {self.n_fixed:,} of a size of their own stay in place" if self.n_fixed and self.method == "blocks" else ""
        n_drawn = self.permutations.n_permutations
        with np.errstate(over="ignore"):
            n_different = float(np.prod([n_orders(*labels, self.method) for labels in zip(*_labels(self.result), strict=True)]))
        least = max(1 / (1 + n_drawn), 1 / n_different)
        few = "so few permutations" if n_different > n_drawn else f"the {n_different:,.0f} orders that the test rows have"
        text = (
            f"{found:,} of {n:,} {unit.many} are predicted above chance at a false discovery rate of {rate:g}, of which "
            f"{rate * found:,.0f} at most are expected to be false. One-sided p of r, {self.permutations.n_permutations:,} "
            f"permutations: {self.n_units:,} test stimuli or runs {how}{folds}{fixed}."
        )
        if not found and n and least * n > rate:
            text += f" No p can be below {least:.2g}: fewer than {least * n / rate:,.0f} {unit.many} cannot be found with {few}."
        return text


def significance_key(result: Result, permutations: Permutations) -> str:
    """Key of a fit's permutation test: a digest of the fit, its tested columns, the units and stimuli of its test rows, and the test."""
    columns = ((hemi, _tested(result, hemi)) for hemi in result.plan.hemis)
    reads = reads_digest(columns, (each for labels in _labels(result) for each in labels))
    return digest("significance", SIGNIFICANCE_VERSION, fit=result.key, reads=reads, permutations=asdict(permutations))


def stored_significance(result: Result, permutations: Permutations | None = None) -> Significance | None:
    """Read a permutation test from the Store; None where it was not computed."""
    permutations = permutations or Permutations()
    arrays = result.derived(significance_key(result, permutations))
    return None if arrays is None else _read(result, permutations, arrays)


def significance(result: Result, report: Report = silent, *, permutations: Permutations | None = None) -> Significance:
    """Test by permutation whether each vertex is predicted above chance; kept in the Store.

    Parameters
    ----------
    result : finished fit with its data.
    permutations : number, seed and method; 1,000 random orders by default.

    Raises
    ------
    ValueError where there are no test stimuli, too few orders of them, or no data as in an imported fit.

    Notes
    -----
    Models stay as they are; their predictions of the test stimuli are permuted against the responses, one-sided
    ``p = (1 + #{permuted r >= r}) / (1 + n)`` (Phipson & Smyth 2010, Permutation p-values should never be zero). Under k-fold predictions
    are permuted within each fold, and permuted values are multiplied by ``sqrt(1 + tau)``: two folds' models share training data, and so
    their scores share noise (:func:`encoding.evaluation.resampling.shared_noise`); without it 11 % of p of vertices without signal were
    below .05. Memory is bounded by a block of vertices.
    """
    permutations, plan = permutations or Permutations(), result.plan
    if why := refusal(result):
        raise ValueError(why)

    @result.store.in_use(plan.stage_keys)
    def make() -> dict[str, np.ndarray]:
        units, stimuli = _labels(result)
        method = choose_method(units, stimuli, permutations.method)
        orders = [row_orders(unit, permutations, method, number) for number, unit in enumerate(units)]
        arrays: dict[str, np.ndarray] = {"method": np.array(method)}
        counts, n_tested = 0, {hemi: len(_tested(result, hemi)) for hemi in plan.hemis}
        done, total = 0, max(1, sum(n_tested.values()))
        for hemi in plan.hemis:
            p = np.full(plan.subject.responses[hemi].shape[1], np.nan)
            for columns in blocks_of(_tested(result, hemi), result.n_test):
                report(done / total, f"permutation test: {done:,} of {total:,} {plan.subject.unit.many}")
                p[columns], counted = _permuted(result, hemi, columns, orders)
                counts, done = counts + counted, done + len(columns)
            arrays[f"{hemi}_p"] = p
        plan.check_unchanged(result.store)
        return arrays | {"counts": np.asarray(counts)}

    key = significance_key(result, permutations)
    return _read(result, permutations, result.store.memo(key, make, plan.made_from(fit=result.key)))


def refusal(result: Result) -> str:
    """Explain why a fit cannot be tested or compared with responses: no data, or no test stimuli; empty where it can."""
    if not result.has_data:
        return "Responses did not come with this imported fit, so nothing can be computed from them. Fit it again where the data are."
    return "" if result.plan.has_test else "Every stimulus was used for training, so there are no test stimuli to permute."


def estimated_seconds(result: Result, permutations: Permutations | None = None, *, n_cores: int = 2) -> float:
    """Rough duration of :func:`significance` in seconds."""
    n = sum(len(_tested(result, hemi)) for hemi in result.plan.hemis)
    return 1.0 + n * result.n_test * (permutations or Permutations()).n_permutations / PRODUCTS_PER_SECOND / n_cores


def _permuted(result: Result, hemi: str, columns: np.ndarray, orders: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    ends = np.cumsum([order.shape[1] for order in orders])[:-1]
    predicted, measured = (np.split(values, ends) for values in (result.predicted(hemi, columns), result.measured(hemi, columns)))
    widening = np.sqrt(1 + noise_share(result, hemi, columns)) if len(orders) > 1 else np.ones(len(columns))
    p, counts = np.empty(len(columns)), {}

    def test(some: np.ndarray) -> None:
        parts = ([np.ascontiguousarray(fold[:, some]) for fold in folds] for folds in (predicted, measured))
        p[some], _, counts[int(some[0])] = permuted(*parts, orders, widening[some])

    at_a_time = np.array_split(np.arange(len(columns)), max(1, -(-len(columns) // VERTICES_AT_A_TIME)))
    map_in_threads(test, at_a_time, device="cpu")
    return p, sum(counts.values())


def _tested(result: Result, hemi: str) -> np.ndarray:
    """Columns of the selected ROIs."""
    return np.unique(np.concatenate([np.zeros(0, np.int64), *(result.columns(roi, hemi) for roi in result.selected_rois)]))


def _labels(result: Result) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Unit and stimulus of each scored row, fold after fold. Samples of a run are one unit, and each is a stimulus of its own."""
    rows, subject = [result.plan.scored_rows(fold) for fold in result.plan.folds], result.plan.subject
    units, stimuli = (subject.groups, subject.stimulus_of_row) if subject.runs is None else (subject.runs, np.arange(subject.n_stimuli))
    return [units[each] for each in rows], [stimuli[each] for each in rows]


def _read(result: Result, permutations: Permutations, arrays: Mapping[str, np.ndarray]) -> Significance:
    sizes = [np.unique(unit, return_counts=True)[1] for unit in _labels(result)[0]]
    n_fixed = sum(int((np.bincount(each) == 1).sum()) for each in sizes)
    p = {hemi: np.asarray(arrays[f"{hemi}_p"]) for hemi in result.plan.hemis}
    return Significance(result, permutations, str(arrays["method"]), sum(map(len, sizes)), n_fixed, p, np.asarray(arrays["counts"]))
