"""Compare two fits: differing settings, differences of any score per ROI, and paired tests of its mean on the same test stimuli."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import numpy as np

from encoding.analysis.bootstrap import drawn_scores, draws_name, intervals_of
from encoding.evaluation.resampling import interval
from encoding.evaluation.scores import SCORES
from encoding.fits.result import Result
from encoding.fits.score_tables import EVERY_VERTEX
from encoding.readouts import READOUTS

if TYPE_CHECKING:
    import pandas as pd

FALSE_DISCOVERIES = 0.05  # the rate that is held, over all rows of a table
LIBRARIES = ("torch", "torchvision", "timm", "numpy")  # whose versions may change numbers


@dataclass(frozen=True)
class Comparison:
    """Difference of two fits, second minus first.

    Attributes
    ----------
    first, second : the fits, A and B.
    unpaired : reason why the bootstrap draws cannot be paired; None if both fits have the same test stimuli of the same subject.
    same_vertices : whether both predict the same columns of the same responses, so that vertices can be subtracted.
    without_intervals : the fits whose bootstrap draws have not been computed.
    table : one row per ROI and hemisphere that both report: ``roi``, ``hemi``, ``n_vertices`` (of the first), ``first`` and
        ``second`` (mean of the score), ``difference``, and where draws are paired ``low`` and ``high`` (95 % interval), ``p`` (two-sided),
        ``q`` (p adjusted for the false discovery rate over all rows) and ``differs`` (q <= ``rate``); else NaN and False. Where either fit
        lacks vertices that the other has, or a union of one name is of other ROIs, ``n_vertices`` and means are of those that both have
        (NaN where there are none), and nothing is tested.
    in_part : places of these rows in the table.
    rate : false discovery rate controlled by ``differs``, 0 to 1.
    score, statistic : what is compared: a key of :data:`~encoding.evaluation.scores.SCORES`, and its ``mean`` or ``median`` over vertices.
    """

    first: Result
    second: Result
    unpaired: str | None
    same_vertices: bool
    without_intervals: tuple[Result, ...]
    table: pd.DataFrame
    in_part: tuple[int, ...] = ()
    rate: float = FALSE_DISCOVERIES
    score: str = "r"
    statistic: str = "mean"

    @property
    def has_draws(self) -> bool:
        """Whether bootstrap draws of what is compared are stored, so that it can be tested."""
        fits = [result for result in (self.first, self.second) if result not in self.without_intervals]
        return self.statistic == "mean" and all(self.score in drawn_scores(intervals_of(fit), fit.plan.hemis) for fit in fits)

    @property
    def tested(self) -> bool:
        """Whether the table holds intervals and p values."""
        return self.unpaired is None and not self.without_intervals and self.has_draws

    @property
    def lower_is_better(self) -> bool:
        """Whether a negative difference says that the second fit predicts better."""
        return SCORES[self.score].lower_is_better


def compare(first: Result, second: Result, *, rate: float = FALSE_DISCOVERIES, score: str = "r", statistic: str = "mean") -> Comparison:
    """Compare two finished fits by a paired bootstrap over test stimuli, reading only what the Store holds.

    Parameters
    ----------
    first, second : finished fits.
    rate : false discovery rate over all rows of the table, 0 to 1.
    score, statistic : a score that both fits have (:attr:`Result.score_names`), and its ``mean`` or ``median`` over vertices. Intervals
        and tests are of means; of fits whose intervals an earlier release computed of mean r and mean pooled r alone.

    Notes
    -----
    :func:`encoding.analysis.bootstrap.roi_intervals` draws the same stimuli for every fit of the same test set, so each draw gives
    one difference of the reported mean r. The standard deviation of these differences is the standard error; interval and p follow
    Student's t (counting draws beyond 0 could give no p below 2 / 501, too coarse for many ROIs). The test generalises to other
    test stimuli, not to other subjects or training sets.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapters 13 and 16.
    """
    unpaired = why_unpaired(first, second)
    intervals = [intervals_of(result) for result in (first, second)]
    missing = tuple(result for result, draws in zip((first, second), intervals, strict=True) if draws is None)
    table, in_part = _of_shared(_means(first, second, SCORES[score].column(statistic)), first, second, score, statistic)
    found = Comparison(first, second, unpaired, same_vertices(first, second), missing, table, in_part, rate, score, statistic)
    tested = {name: np.full(len(table), np.nan) for name in ("low", "high", "p")}
    if found.tested:
        df = int(intervals[0]["df"])
        for number, row in enumerate(table.itertuples()):
            if number in in_part:
                continue
            draws = np.subtract(*(_draws(each, draws_name(row.hemi, score), row.roi) for each in intervals[::-1]))
            tested["low"][number], tested["high"][number], tested["p"][number] = paired_test(row.difference, draws, df)
    table = table.assign(**tested, q=false_discovery(tested["p"]))
    table = table.assign(differs=table["q"] <= rate)
    return replace(found, table=table)


def verdict(comparison: Comparison, names: tuple[str, str] = ("A", "B")) -> str:
    """Say in a sentence in how many tests either fit predicts better, and where most; without tests, in how many rows it is ahead.

    Parameters
    ----------
    names : of the first and the second fit.

    Returns
    -------
    Such as ``B predicts better in 52 of 54 region tests, A in 0; most in V2v (left), +0.59.``; empty where no row has a difference.
    """
    table = of_regions(comparison.table[np.isfinite(comparison.table["difference"])])
    if not len(table):
        return ""
    sign, tested = -1 if comparison.lower_is_better else 1, comparison.tested and table["p"].notna().any()
    counted = table[table["differs"]] if tested else table
    wins = {name: int((way * sign * counted["difference"] > 0).sum()) for name, way in zip(names, (-1, 1), strict=True)}
    (first, n_first), (second, n_second) = sorted(wins.items(), key=lambda each: -each[1])
    n = int(table["p"].notna().sum()) if tested else len(table)
    if not n_first:
        return f"{names[0]} and {names[1]} differ in none of {n} region tests." if tested else "The two have the same scores."
    way = sign if first == names[1] else -sign
    row = counted.loc[(way * counted["difference"]).idxmax()]
    size = abs(row["difference"])
    most = f"{'−' if sign < 0 else '+'}{size:.2f}" if size >= 0.005 else "by less than 0.01"
    where = f"{row['roi']}{ {'lh': ' (left)', 'rh': ' (right)'}.get(row['hemi'], '') }"
    what = "predicts better in" if tested else "has the better score in"
    parts = "hemispheres" if set(table["hemi"]) <= {"lh", "rh"} else "blocks"
    tests = "region tests" if tested else f"regions and {parts}" if table["hemi"].nunique() > 1 else "regions"
    return f"{first} {what} {n_first} of {n} {tests}, {second} in {n_second}; most in {where}, {most}."


def of_regions(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of :attr:`Comparison.table` that are of regions, which counts of tests are about; all rows where there is no region."""
    regions = table[table["roi"] != EVERY_VERTEX]
    return regions if len(regions) else table


def paired_test(difference: float, draws: np.ndarray, df: int) -> tuple[float, float, float]:
    """Test a paired difference: 95 % interval and two-sided p of Student's t, with the bootstrap standard deviation as standard error.

    Parameters
    ----------
    difference : observed difference of scores.
    draws : (n_draws,) the same difference in bootstrap draws that both fits share.
    df : degrees of freedom, :attr:`encoding.evaluation.resampling.Estimates.df`.

    Returns
    -------
    low, high, p : float
        p is 1 where two fits never differ; all NaN where there is no score.
    """
    from scipy import stats

    if not np.isfinite(difference) or not np.isfinite(draws).all():
        return np.nan, np.nan, np.nan
    spread = draws.std(ddof=1)
    low, high = (float(end) for end in interval(difference, spread, df))
    if spread == 0:
        return low, high, 1.0 if difference == 0 else 0.0
    return low, high, float(2 * stats.t.sf(abs(difference) / spread, df))


def false_discovery(p: np.ndarray) -> np.ndarray:
    """Adjust p values for the false discovery rate (Benjamini & Hochberg 1995).

    Parameters
    ----------
    p : array of p values; NaN (no test) is not counted and stays NaN.

    Returns
    -------
    ndarray
        q values; rejecting all q <= 0.05 keeps the expected share of false rejections at 5 % or less.

    Examples
    --------
    >>> false_discovery(np.array([0.01, np.nan, 0.04, 0.03])).round(3).tolist()
    [0.03, nan, 0.04, 0.04]
    """
    from scipy.stats import false_discovery_control

    p = np.asarray(p, float)
    q, known = np.full(p.shape, np.nan), np.isfinite(p)
    q[known] = false_discovery_control(p[known]) if known.any() else np.nan
    return q


def why_unpaired(first: Result, second: Result) -> str | None:
    """Explain in a sentence why the test stimuli of two fits cannot be paired; None where they can."""
    a, b = (result.plan.spec for result in (first, second))
    if (a.dataset, a.subject) != (b.dataset, b.subject):
        return f"They are of different subjects ({a.dataset} {a.subject} and {b.dataset} {b.subject})."
    shared = [hemi for hemi in first.plan.hemis if hemi in second.plan.hemis]
    if not shared:
        return "They are of different hemispheres."
    prints = [result.plan.subject.fingerprints for result in (first, second)]
    if any(prints[0][hemi] != prints[1][hemi] for hemi in shared):
        return f"The responses of {a.dataset} {a.subject} changed between them."
    rows = [result.test_rows() for result in (first, second)]
    if not np.array_equal(*rows) and a.average_repeats != b.average_repeats:
        return "One of them averages repeats of a test stimulus before they are scored, the other does not."
    sizes = [[len(result.plan.scored_rows(fold)) for fold in result.plan.folds] for result in (first, second)]
    if not np.array_equal(*rows) or sizes[0] != sizes[1]:
        both = len(np.intersect1d(*rows))
        if both == len(rows[0]) == len(rows[1]):
            return f"They were tested on the same images in different folds: their splits are {a.split} and {b.split}."
        counts = f"A on {len(rows[0]):,}, B on {len(rows[1]):,}, of which {both:,} are the same"
        return f"They were tested on different images ({counts}): their splits are {a.split} and {b.split}."
    return None


def same_vertices(first: Result, second: Result) -> bool:
    """Whether two fits predict the same columns of the same responses in at least one hemisphere."""
    prints = [result.plan.subject.fingerprints for result in (first, second)]
    shared = [hemi for hemi in first.plan.hemis if hemi in second.plan.hemis]
    return bool(shared) and all(prints[0][hemi] == prints[1][hemi] for hemi in shared)


def vertex_differences(first: Result, second: Result, score: str = "r") -> dict[str, np.ndarray]:
    """Subtract a score of two fits vertex by vertex, second minus first.

    Returns
    -------
    dict of str to ndarray
        Hemisphere to (n_vertices,) float64; NaN where either fit has no score.

    Raises
    ------
    ValueError
        If the two do not predict the same vertices.
    """
    if not same_vertices(first, second):
        raise ValueError("These fits do not predict the same vertices, so no vertex of one can be subtracted from one of the other.")
    shared = [hemi for hemi in first.plan.hemis if hemi in second.plan.hemis]
    return {hemi: second.score(hemi, score) - first.score(hemi, score) for hemi in shared}


def shared_scores(results: Sequence[Result], score: str) -> list[np.ndarray]:
    """A score of the vertices that all fits predict, (n_vertices,) of each; of each fit's own where there are none or responses differ."""
    first, *others = results
    shared = [hemi for hemi in first.plan.hemis if all(hemi in other.plan.hemis for other in others)]
    if shared and all(same_vertices(first, other) for other in others):
        values = np.stack([np.concatenate([result.score(hemi, score) for hemi in shared]) for result in results])
        if (known := np.isfinite(values).all(0)).any():
            return list(values[:, known])
    return [np.concatenate([result.score(hemi, score) for hemi in result.plan.hemis]) for result in results]


def letters(results: Sequence[Result]) -> list[str]:
    """Short names of compared fits: A, B, C …"""
    return list(ascii_uppercase[: len(results)])


def settings(results: Sequence[Result]) -> pd.DataFrame:
    """Tabulate the settings of fits: one row per setting (spec, readout parameters, images, provenance), one column per fit A, B, …."""
    import pandas as pd

    same_readout = len({result.plan.spec.readout for result in results}) == 1
    columns = [_settings(result, every_option=same_readout) for result in results]
    names = dict.fromkeys(name for column in columns for name in column)
    values = {who: [column.get(name, "") for name in names] for who, column in zip(letters(results), columns, strict=True)}
    return pd.DataFrame({"setting": list(names)} | values)


def what_differs(results: Sequence[Result]) -> pd.DataFrame:
    """Rows of :func:`settings` in which the fits differ."""
    table = settings(results)
    return table[table[letters(results)].nunique(axis=1) > 1].reset_index(drop=True)


def _settings(result: Result, *, every_option: bool) -> dict[str, str]:
    spec, provenance = result.plan.spec, result.provenance
    options: Mapping[str, Any] = dict(spec.options)
    if every_option and spec.readout in READOUTS:
        options = asdict(READOUTS[spec.readout].read(dict(options)))
    values = {name: _text(value) for name, value in spec.to_dict().items() if name != "options"}
    values |= {} if spec.has_weights else {"weights": "none"}
    values |= {f"{spec.readout}: {name}": _text(value) for name, value in options.items()}
    values |= {"trained on": result.counted("training"), "tested on": result.counted("test")}
    values |= {"device": _text(provenance.get("made_from", {}).get("device", "")), "commit": str(provenance.get("commit", ""))[:10]}
    return values | {name: str(provenance.get("libraries", {}).get(name, "")) for name in LIBRARIES}


def _text(value: Any) -> str:
    return " + ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _means(first: Result, second: Result, column: str) -> pd.DataFrame:
    """A column of :meth:`Result.rois` for every ROI and hemisphere that both report and that has vertices in both, in the first's order."""
    columns = ["roi", "hemi", "n_vertices", column]
    a, b = (result.rois()[columns] for result in (first, second))
    table = a.merge(b, on=["roi", "hemi"], how="inner", suffixes=("", "_b"))
    table = table[(table["n_vertices"] > 0) & (table["n_vertices_b"] > 0)].reset_index(drop=True)
    table = table.rename(columns={column: "first", f"{column}_b": "second"}).drop(columns="n_vertices_b")
    return table.assign(difference=table["second"] - table["first"])


def _of_shared(table: pd.DataFrame, first: Result, second: Result, score: str, statistic: str) -> tuple[pd.DataFrame, tuple[int, ...]]:
    """Rows of :func:`_means` over the vertices that both fits have a score of, and the places of those that this changes."""
    if not same_vertices(first, second):
        return table, ()
    values = {hemi: [fit.score(hemi, score) for fit in (first, second)] for hemi in table["hemi"].unique()}
    in_part, table = [], table.copy()
    for number, row in enumerate(table.itertuples()):
        pair = list(zip((first, second), values[row.hemi], strict=True))
        one, other = (
            columns[np.isfinite(each[columns])] for columns, each in ((fit.columns(row.roi, row.hemi), each) for fit, each in pair)
        )
        if len(one) and len(other) and not np.array_equal(one, other):
            both = np.intersect1d(one, other)
            a, b = (SCORES[score].summary(each[both])[SCORES[score].column(statistic)] if len(both) else np.nan for _, each in pair)
            table.loc[number, ["n_vertices", "first", "second", "difference"]] = len(both), a, b, b - a
            in_part.append(number)
    return table, tuple(in_part)


def _draws(intervals: Mapping[str, np.ndarray], name: str, roi: str) -> np.ndarray:
    """(n_resamples,) the means of one ROI."""
    place = np.flatnonzero(np.asarray(intervals["rois"]) == roi)
    return np.asarray(intervals[name][:, place[0]], float)
