"""Error bars of scores: bootstrap draws and jackknife standard errors over test stimuli, one fold at a time.

The statistic is the reported one: per vertex, a score on each fold's test rows; then its mean over folds (for ``pooled_r``, r over the
test rows of all folds together); then its mean over the vertices of an ROI. What is resampled is the unit: all rows of one stimulus, or
of one group (a run, a session) where a data set names groups that are coarser. Units are drawn within each fold, never across folds.

The standard error is the jackknife's, which leaves one unit out at a time (Efron & Tibshirani 1993, chapter 11); the interval is the
estimate plus and minus Student's t times it, on Fisher's z scale for r. In simulations this covers 95 % from 20 units on where
percentiles of the draws cover 90 % (``docs/what_the_numbers_mean.md`` has the table). The draws are scaled to the same standard error
and centred on the estimate, so that whatever is judged from them (differences, the best layer) agrees with the intervals.

Under k-fold the folds' correlations are not independent: two models share most of their training data, and where predictions are mostly
estimation noise both see the same products of responses. :func:`shared_noise` measures that share, tau, and the variance of a mean r is
multiplied by 1 + tau: 1 where models are well determined, 2 where there is no signal at all. So are the variances of all other scores.
Of R² and errors this is cautious where features are few, since most of their variance is the responses' own; but that cancels in the
difference of two fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from encoding.evaluation.leave_one_out import DRAWN, ScoredFold, fold_scores, jackknife_variance, over_folds, pooled
from encoding.evaluation.scores import SCORES, pearson

LEAST_UNITS = 5  # test stimuli under which there is no score
FEW_UNITS = 50  # test stimuli under which intervals are approximate
BLOCK_VALUES = 4_000_000  # predictions held at a time, 16 MB
SUB_BLOCK = 256  # columns resampled at a time
SCALES = {"r": "fisher", "pooled_r": "fisher", "normalised_r2": "root", "algonauts2023": "root"}
"""Scales on which intervals are symmetric; those of other scores are on their own."""
TEST_NAME = "paired bootstrap over test stimuli, Student's t, two-sided"


@dataclass(frozen=True, kw_only=True)
class ErrorBar:
    """Specification of an error bar: bootstrap draws and level.

    Attributes
    ----------
    n_draws : bootstrap draws of the test units.
    seed : of the draws; equal test units and seeds give equal draws, so fits may be compared draw by draw.
    level : share of intervals that hold the true value, 0 … 1.
    """

    n_draws: int = 500
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.n_draws < 2 or not 0 < self.level < 1:
            raise ValueError(f"{self} needs two draws or more, and a level between 0 and 1.")


@dataclass(frozen=True)
class Estimates:
    """Scores averaged over the vertices of ROIs, with their standard errors and draws. NaN for an ROI without a score.

    Attributes
    ----------
    value, se : score to (n_rois,) float64.
    draws : score to (n_draws, n_rois) float32, centred on ``value`` with the standard deviation of its standard error. ``r`` and
        ``pooled_r`` are computed from each draw's units; of other scores each draw is the sum of its units' influences, the differences
        that leaving them out makes (Efron & Tibshirani 1993, chapter 20).
    vertices : score to (t,) float64, the score of every vertex.
    left_out : score to, fold after fold, (n_units of the fold, n_rois) float64, the value less one test unit at a time.
    n_units : test units over all folds. df : degrees of freedom of Student's t.
    """

    value: Mapping[str, np.ndarray]
    se: Mapping[str, np.ndarray]
    draws: Mapping[str, np.ndarray]
    vertices: Mapping[str, np.ndarray]
    left_out: Mapping[str, Sequence[np.ndarray]]
    n_units: int
    df: int

    def interval(self, score: str, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Compute the confidence interval of a score, one per ROI.

        Returns
        -------
        lower, upper : (n_rois,) float64; NaN where the score has no interval. See :func:`interval`.
        """
        low, high = interval(self.value[score], self.se[score], self.df, level=level, scale=SCALES.get(score, ""))
        top = SCORES[score].ceiling_level if SCALES.get(score) == "root" else None
        return low, high if top is None else np.minimum(high, top)


def estimate(
    blocks: Iterator[tuple[np.ndarray, Sequence[ScoredFold]]],
    members: Mapping[str, np.ndarray],
    n_columns: int,
    *,
    error_bar: ErrorBar,
    ceiling: np.ndarray | None = None,
    tau: np.ndarray | None = None,
    scores: Sequence[str] | None = None,
) -> Estimates:
    """Scores of ROIs with standard errors and draws, from predictions of test rows that come a block of columns at a time.

    Parameters
    ----------
    blocks : of (columns, folds): some of the ``n_columns`` and each fold's predictions and responses of them. Each column once.
    members : ROI to its columns; they may overlap.
    error_bar : how units are drawn.
    ceiling : (n_columns,) noise ceilings; None leaves out the scores that need them.
    tau : (n_columns,) the share of shared noise between folds, 0 … 1 (:func:`shared_noise`); None counts folds as independent.
    scores : keys of :data:`encoding.evaluation.scores.SCORES`; None is all of them that can be computed. ``pooled_r`` needs several folds.

    Notes
    -----
    Memory is bounded by a block: 7 sums of every unit of a fold, and draws and leave-one-out values of it. Vertices whose score is
    undefined (a constant response, no ceiling) are left out of an ROI's mean.
    """
    wanted = [name for name in (scores or SCORES) if ceiling is not None or not SCORES[name].needs_ceiling]
    member = np.zeros((n_columns, len(members)))
    for number, columns in enumerate(members.values()):
        member[columns, number] = 1
    sums, weights = dict[str, list[np.ndarray]](), list[np.ndarray]()
    counts = {name: np.zeros(len(members)) for name in wanted}
    vertices = {name: np.full(n_columns, np.nan) for name in wanted}
    for columns, folds in blocks:
        if not weights:
            weights = [draw_counts(n_units(fold.units), error_bar, number) for number, fold in enumerate(folds)]
            wanted = [name for name in wanted if len(folds) > 1 or not SCORES[name].pooled]
        parts = [fold_scores(fold, drawn) for fold, drawn in zip(folds, weights, strict=True)]
        whole = [fold_scores(pooled(folds), np.concatenate(weights, axis=1))] if "pooled_r" in wanted else []
        for name in wanted:
            of_columns = None if ceiling is None else ceiling[columns]
            at, drawn, left_out = over_folds(name, whole if SCORES[name].pooled else parts, of_columns)
            vertices[name][columns] = at
            inside = member[columns] * np.isfinite(at)[:, None]
            counts[name] += inside.sum(0)
            values = [np.nan_to_num(each) @ inside for each in (at[None], *left_out, *([drawn] if name in DRAWN else []))]
            sums[name] = [one + other for one, other in zip(sums[name], values, strict=True)] if name in sums else values
    sizes = [each.shape[1] for each in weights]
    value, se, draws, less_one = {}, {}, {}, {}
    with np.errstate(invalid="ignore", divide="ignore"):
        share = None if tau is None else (np.nan_to_num(tau, nan=1.0) @ member) / member.sum(0)
        for name in wanted:
            at, *left_out = (each / counts[name] for each in sums[name])
            value[name], drawn = at[0], left_out.pop() if name in DRAWN else None
            less_one[name] = np.split(left_out[0], np.cumsum(sizes)[:-1]) if SCORES[name].pooled else left_out
            widened = 1 if share is None or len(sizes) == 1 else 1 + share
            errors = np.sqrt(jackknife_variance(less_one[name]) * widened)
            se[name] = np.where(errors > 0, errors, np.nan) if SCALES.get(name) == "root" else errors
            draws[name] = _scaled_draws(at, drawn, less_one[name], weights, errors)
    return Estimates(value, se, draws, {name: vertices[name] for name in wanted}, less_one, sum(sizes), max(1, sum(sizes) - 2 * len(sizes)))


def _scaled_draws(
    at: np.ndarray, drawn: np.ndarray | None, left_out: Sequence[np.ndarray], weights: Sequence[np.ndarray], errors: np.ndarray
) -> np.ndarray:
    """Draws of ROI scores (n_draws, n_rois) float32 about ``at`` (n_rois,), whose standard deviations are ``errors`` (n_rois,).

    Parameters
    ----------
    drawn : (n_draws, n_rois), drawn scores; None where they are approximated by what each unit contributes.
    left_out : for each fold the scores without each unit, (n_units, n_rois).
    weights : for each fold how often each unit is drawn, (n_draws, n_units).
    """
    if drawn is None:
        drawn = sum((times - 1) @ ((at - each) * (len(each) - 1) / len(each)) for times, each in zip(weights, left_out, strict=True))
    spread = drawn.std(0, ddof=1)
    scale = np.where(spread > 0, errors / np.where(spread > 0, spread, 1), 0 * errors)
    return (at + (drawn - drawn.mean(0)) * scale).astype(np.float32)


def working_bytes(n_rows: int, n_units: int, n_rois: int, *, n_folds: int = 1, n_draws: int = ErrorBar.n_draws) -> float:
    """Bytes of memory that :func:`estimate` takes at its peak, whatever the number of vertices.

    Parameters
    ----------
    n_rows, n_units : test rows and resampling units over all folds.
    """
    pooled = 2 if n_folds > 1 else 1
    sums = 8.0 * SUB_BLOCK * (18 * n_rows + (32 + 10 * pooled) * n_units) + 4.0 * SUB_BLOCK * n_draws * (10 + 2 * (n_folds + 1))
    predictions = 4.0 * 4 * max(BLOCK_VALUES, n_rows)
    return predictions + sums + 8.0 * n_rois * (2 * len(SCORES) * n_units + (4 + len(SCORES) / 2) * n_draws)


def blocks_of(columns: np.ndarray, n_rows: int) -> list[np.ndarray]:
    """Cut column numbers into blocks of which ``n_rows`` rows are :data:`BLOCK_VALUES` predictions at most."""
    step = max(1, BLOCK_VALUES // max(1, n_rows))
    return [columns[start : start + step] for start in range(0, len(columns), step)]


def interval(value: np.ndarray, se: np.ndarray, df: int, *, level: float = 0.95, scale: str = "") -> tuple[np.ndarray, np.ndarray]:
    """The ends of an interval: the estimate plus and minus Student's t times its standard error.

    Parameters
    ----------
    value, se : of one shape.
    df : degrees of freedom.
    scale : on which the interval is symmetric: ``""`` its own; ``fisher``, arctanh, for a mean of correlations; ``root``, the square
        root, for a mean of squares.

    Examples
    --------
    >>> low, high = interval(np.array(0.5), np.array(0.1), 98, scale="fisher")
    >>> round(float(low), 3), round(float(high), 3)
    (0.277, 0.672)
    """
    from scipy.stats import t

    reach = t.isf((1 - level) / 2, df) * np.asarray(se, float)
    if scale == "root":
        with np.errstate(divide="ignore", invalid="ignore"):
            root, reach = np.sqrt(value), reach / (2 * np.sqrt(value))
        return np.maximum(root - reach, 0) ** 2, (root + reach) ** 2
    if scale != "fisher":
        return value - reach, value + reach
    value = np.clip(value, -1 + 1e-9, 1 - 1e-9)
    z = np.arctanh(value)
    return np.tanh(z - reach / (1 - value**2)), np.tanh(z + reach / (1 - value**2))


def shared_noise(predictions: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """The share tau of estimation noise that a k-fold's models have in common, from how well they agree.

    Two of K models share (K - 2) / (K - 1) of their training data, so their predictions of one stimulus correlate by
    ``1 - tau / (K - 1)``, with tau the share of a prediction's variance that is estimation noise. Products of such noise enter the
    scores of both folds, which makes the variance of their mean 1 + tau times that of independent folds (2 where there is no signal).

    Parameters
    ----------
    predictions : ``predictions[a][b]`` (n, t), what the model that fold a tests predicts of test rows of fold b.

    Returns
    -------
    (t,) float64, 0 … 1; 1 where predictions do not vary.

    References
    ----------
    Bengio & Grandvalet (2004), No unbiased estimator of the variance of k-fold cross-validation; Nadeau & Bengio (2003), Inference for
    the generalization error, who correct by a constant.
    """
    n_folds = len(predictions)
    agreement = [
        pearson(predictions[b][a], predictions[a][a])  # on fold a's rows, which model a never saw
        for a in range(n_folds)
        for b in range(n_folds)
        if a != b
    ]
    return np.nan_to_num(np.clip((n_folds - 1) * (1 - np.mean(agreement, axis=0)), 0, 1), nan=1.0)


def n_units(units: np.ndarray) -> int:
    """Count the distinct resampling units (stimuli or groups) in an array of labels."""
    return len(np.unique(units))


def approximate_note(n: int) -> str:
    """Caveat for intervals and tests based on ``n`` test stimuli; empty where ``n`` is large enough for nominal coverage."""
    if n >= FEW_UNITS:
        return ""
    return f"With {n} test stimuli, fewer than {FEW_UNITS}, intervals and tests are approximate."


def p_text(p: float, name: str = "") -> str:
    """p as papers write it: three decimals without the leading 0, and ``< .001`` for less.

    Parameters
    ----------
    name : of the number, such as ``p`` or ``q``; with it comes the equals sign.

    >>> p_text(0.0312), p_text(1e-7, "p"), p_text(0.05, "q"), p_text(1.0), p_text(float("nan"))
    ('.031', 'p < .001', 'q = .050', '1', 'not tested')
    """
    if not np.isfinite(p):
        return "not tested"
    if p < 0.001:
        return f"{name} < .001".strip()
    text = "1" if p > 0.9995 else f"{p:.3f}"[1:]
    return f"{name} = {text}" if name else text


def draw_counts(n: int, error_bar: ErrorBar, fold: int) -> np.ndarray:
    """(n_draws, n) how often each of the n units of a fold is drawn."""
    rng = np.random.default_rng([error_bar.seed, fold])
    return rng.multinomial(n, np.full(n, 1 / n), error_bar.n_draws).astype(np.float32)
