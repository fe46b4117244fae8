"""Permutation test of r: test stimuli's predictions against responses, in an order that says nothing about them.

Rows are exchanged whole units at a time, within each fold. A unit is what a data set's groups name: all repeats of one stimulus, or a run
or session where they are coarser, within which responses depend on one another. Two ways to reorder:

``blocks``
    units change places with units of as many rows; order within a unit is kept. A unit of a size of its own stays where it is, which makes
    the test cautious.
``shift``
    each unit's rows are moved along by a random number of rows, the last following on the first: for few long runs, whose own
    autocorrelation stays in place but for the seam.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

METHODS = ("blocks", "shift")
ENOUGH_ORDERS = 1_000  # different orders from which blocks are permuted rather than shifted
FEWEST_ORDERS = 20  # different orders under which no p could be below .05
N_BINS = 2_000  # of r from -1 to 1, in which permuted values are counted
ROUNDING = 1e-6  # of r in float32: values this close are taken for equal


@dataclass(frozen=True, kw_only=True)
class Permutations:
    """Specification of a permutation test.

    Attributes
    ----------
    n_permutations : random orders beside the observed one; the smallest p is 1 / (1 + n_permutations).
    seed : of the orders.
    method : one of :data:`METHODS`, or ``auto``: ``blocks`` where units allow :data:`ENOUGH_ORDERS` orders or hold nothing to shift,
        else ``shift``.
    """

    n_permutations: int = 1_000
    seed: int = 0
    method: str = "auto"

    def __post_init__(self) -> None:
        if self.n_permutations < 19:
            raise ValueError(f"A permutation test needs 19 permutations or more (p could not be below .05), not {self.n_permutations}.")
        if self.seed < 0:
            raise ValueError(f"The seed of permutations must be 0 or more, not {self.seed}.")
        if self.method not in ("auto", *METHODS):
            raise ValueError(f"Permutations are auto, {' or '.join(METHODS)}, not {self.method!r}.")


def n_orders(units: np.ndarray, stimuli: np.ndarray, method: str) -> float:
    """Count the different orders of a fold's predictions; those of one stimulus are the same.

    Parameters
    ----------
    units, stimuli : (n_rows,) int, the unit and the stimulus of each row.
    method : one of :data:`METHODS`.

    Examples
    --------
    >>> n_orders(np.array([0, 0, 1, 1, 2, 2, 3]), np.arange(7), "blocks"), n_orders(np.array([0, 0, 0, 1, 1]), np.arange(5), "shift")
    (6.0, 6.0)
    >>> n_orders(np.zeros(6, int), np.array([0, 1, 2, 0, 1, 2]), "shift")  # the images of a run were shown twice in one order
    3.0
    """
    from scipy.special import gammaln

    _, unit, sizes = np.unique(units, return_inverse=True, return_counts=True)
    shown = [tuple(each.tolist()) for each in np.split(stimuli[np.argsort(unit, kind="stable")], np.cumsum(sizes)[:-1])]
    if method == "shift":
        logarithm = np.log([_period(each) for each in shown]).sum()
    else:
        logarithm = gammaln(1 + np.bincount(sizes)).sum() - gammaln(1 + np.array([*Counter(shown).values()])).sum()
    return float(np.round(np.exp(min(logarithm, 700.0))))


def _period(stimuli: Sequence[int]) -> int:
    """After how many rows a sequence that is closed to a circle is the same again."""
    n = len(stimuli)
    return next(step for step in range(1, n + 1) if n % step == 0 and stimuli[step:] + stimuli[:step] == stimuli)


def choose_method(units: Sequence[np.ndarray], stimuli: Sequence[np.ndarray], method: str = "auto") -> str:
    """Choose how the test rows of all folds are reordered, one of :data:`METHODS`.

    Parameters
    ----------
    units, stimuli : for each fold (n_rows,) int, the unit and the stimulus of each row.
    method : of :class:`Permutations`.

    Raises
    ------
    ValueError where the rows have fewer than :data:`FEWEST_ORDERS` orders, or a unit is to be shifted that repeats one stimulus.
    """
    pairs = zip(units, stimuli, strict=True)
    repeats_only = all(len(np.unique([unit, stimulus], axis=1).T) == len(np.unique(unit)) for unit, stimulus in pairs)
    if method == "shift" and repeats_only:
        raise ValueError("Rows of one unit are repeats of one stimulus, which nothing is gained by shifting. Permute blocks.")
    with np.errstate(over="ignore"):
        orders = {each: float(np.prod([n_orders(*labels, each) for labels in zip(units, stimuli, strict=True)])) for each in METHODS}
    if method == "auto":
        method = "blocks" if repeats_only or orders["blocks"] >= ENOUGH_ORDERS else "shift"
    if orders[method] < FEWEST_ORDERS:
        sizes = np.concatenate([np.unique(unit, return_counts=True)[1] for unit in units])
        raise ValueError(
            f"The test rows have {orders[method]:.0f} different orders ({len(sizes)} units of {sizes.min()} to {sizes.max()} rows; only "
            f"units of equal size change places), and a permutation test needs {FEWEST_ORDERS}. Test on more stimuli or runs."
        )
    return method


def row_orders(units: np.ndarray, permutations: Permutations, method: str, fold: int = 0) -> np.ndarray:
    """Draw the orders of a fold's rows.

    Parameters
    ----------
    units : (n_rows,) int, equal for the rows of one unit; rows of a unit are in temporal order.
    method : one of :data:`METHODS`.
    fold : number of the fold; each has random numbers of its own.

    Returns
    -------
    (n_permutations, n_rows) int32: in draw d, row i of the responses meets row ``orders[d, i]`` of the predictions.
    """
    rng, n = np.random.default_rng([permutations.seed, fold]), permutations.n_permutations
    _, unit, sizes = np.unique(units, return_inverse=True, return_counts=True)
    by_unit = np.split(np.argsort(unit, kind="stable"), np.cumsum(sizes)[:-1])
    orders = np.empty((n, len(units)), np.int32)
    if method == "shift":
        for rows in by_unit:
            starts = rng.integers(len(rows), size=n)
            orders[:, rows] = rows[(np.arange(len(rows)) + starts[:, None]) % len(rows)]
        return orders
    for size in np.unique(sizes):
        rows = np.stack([each for each in by_unit if len(each) == size])  # (k, size)
        drawn = rng.permuted(np.broadcast_to(np.arange(len(rows), dtype=np.int32), (n, len(rows))), axis=1)
        orders[:, rows.ravel()] = rows[drawn].reshape(n, -1)
    return orders


def permuted(
    predicted: Sequence[np.ndarray], measured: Sequence[np.ndarray], orders: Sequence[np.ndarray], widening: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compare the r of some vertices with its values in permuted orders.

    Parameters
    ----------
    predicted, measured : for each fold (n_rows, t), test predictions and responses.
    orders : for each fold (n_permutations, n_rows), of :func:`row_orders`.
    widening : (t,) factors by which permuted values are multiplied; None leaves them as they are.

    Returns
    -------
    p : (t,) float64, one-sided: (1 + number of permuted r that reach the observed one) / (1 + n_permutations). 1 where predictions are
        constant, NaN where responses are.
    r : (t,) float64, the observed mean over folds.
    counts : (:data:`N_BINS`,) int64, how many permuted values over all vertices and orders lie in each bin of r from -1 to 1.

    Notes
    -----
    Standardised predictions are gathered row by row and multiplied with standardised responses: n_rows products a value, and no matrix of
    all pairs.
    """
    pairs = [(_standardised(p, flat=0.0), _standardised(m, flat=np.nan)) for p, m in zip(predicted, measured, strict=True)]
    products = [np.einsum("ij,ij->j", p, m) for p, m in pairs]
    r = np.mean(products, axis=0, dtype=np.float64)
    known = np.isfinite(r)
    reach = r - ROUNDING
    n_reached, counts = np.zeros(len(r)), np.zeros(N_BINS, np.int64)
    gathered = [np.empty_like(p) for p, _ in pairs]
    for number in range(len(orders[0])):
        value = 0.0
        for (p, m), order, place in zip(pairs, orders, gathered, strict=True):
            np.take(p, order[number], axis=0, out=place, mode="clip")
            value = value + np.einsum("ij,ij->j", place, m)
        value = value / len(pairs) * (1 if widening is None else widening)
        n_reached += value >= reach
        bins = ((value[known] + 1) * (N_BINS / 2)).astype(np.int64).clip(0, N_BINS - 1)
        counts += np.bincount(bins, minlength=N_BINS)
    return np.where(known, (1 + n_reached) / (1 + len(orders[0])), np.nan), r, counts


def _standardised(values: np.ndarray, *, flat: float) -> np.ndarray:
    """Columns less their mean and of length 1, float32; ``flat`` where a column does not vary."""
    values = np.asarray(values, np.float64)
    centred = values - values.mean(0)
    length = np.sqrt(np.einsum("ij,ij->j", centred, centred))
    varies = length > 1e-7 * np.sqrt(np.einsum("ij,ij->j", values, values))
    return np.where(varies, centred / np.where(varies, length, 1), flat).astype(np.float32)


def expected_above(counts: np.ndarray, n_permutations: int, r: float) -> float:
    """Expected number of vertices whose r reaches a threshold by chance, from the ``counts`` of :func:`permuted`."""
    first = int(np.ceil((r + 1) * (N_BINS / 2) - 1e-9))
    return float(counts[max(first, 0) :].sum() / n_permutations)
