"""Delays of a finite impulse response (FIR): the features of earlier samples as further columns, so that a fit finds the haemodynamic lag.

A sample at time t gets the components of t - 1, t - 2 … side by side, within its run: what would lie before the run's first sample is 0, as
in the ``Delayer`` of the voxelwise modelling tutorials (Dupré la Tour, Visconti di Oleggio Castello & Gallant 2024).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from encoding.features.components import n_polynomial, polynomial_features

MOST_DELAY, MOST_DELAYS = 60, 30  # samples, and delays of one set
CHOICE_VERSION = 1  # raised when others are chosen of the same data
N_FOLDS = 5  # cross-validation folds on which a set is chosen
CANDIDATES = "/"  # between sets of delays of which one is chosen

Delays = tuple[int, ...]


def read_delays(text: str | Iterable[int]) -> tuple[Delays, ...]:
    """Read sets of delays: ``1,2,3,4`` is one, ``1,2,3/2,3,4`` are two candidates; empty, and the delay 0 alone, are none.

    Raises
    ------
    ValueError for anything else, such as a delay that is named twice or below 0.

    Examples
    --------
    >>> read_delays("1,2,3,4"), read_delays([2, 1]), read_delays("0"), read_delays("1/1,2")
    (((1, 2, 3, 4),), ((1, 2),), (), ((1,), (1, 2)))
    """
    if not isinstance(text, str):
        if not isinstance(text, Iterable):
            raise ValueError(f"Delays are numbers of samples from 0, such as 1,2,3,4, or [1, 2, 3, 4]; not {text!r}.")
        text = ",".join(map(str, text))
    sets = []
    for part in text.split(CANDIDATES) if text.strip() else ():
        words = part.replace(",", " ").split()
        if not words or not all(word.isascii() and word.isdecimal() for word in words):
            raise ValueError(f"Delays are numbers of samples from 0, such as 1,2,3,4, or sets to choose from, 1,2,3/2,3,4; not {text!r}.")
        delays = tuple(sorted(map(int, words)))
        if len(set(delays)) < len(delays) or delays[-1] > MOST_DELAY or len(delays) > MOST_DELAYS:
            raise ValueError(f"Delays are up to {MOST_DELAYS} different numbers of samples from 0 to {MOST_DELAY}; not {part.strip()!r}.")
        sets.append(delays)
    sets = list(dict.fromkeys(sets))
    return () if sets == [(0,)] else tuple(sets)


def delays_text(sets: Iterable[Delays]) -> str:
    """Write sets of delays as :func:`read_delays` reads them."""
    return CANDIDATES.join(",".join(map(str, delays)) for delays in sets)


def delayed(Z: np.ndarray, delays: Delays, runs: np.ndarray) -> np.ndarray:
    """Put the rows of earlier samples of the same run side by side.

    Parameters
    ----------
    Z : (n, k). delays : of samples, each 0 or more.
    runs : (n,) int, the run of each row; rows of a run follow one another in time.

    Returns
    -------
    (n, len(delays) * k) of the dtype of ``Z``: all columns of the first delay, then those of the next; 0 before a run begins.

    Examples
    --------
    >>> delayed(np.array([[1], [2], [3], [4]]), (1, 2), np.array([0, 0, 0, 1])).tolist()
    [[0, 0], [1, 0], [2, 1], [0, 0]]
    """
    n, k = Z.shape
    made = np.zeros((n, len(delays) * k), Z.dtype)
    for number, delay in enumerate(delays):
        place = slice(number * k, (number + 1) * k)
        there = np.flatnonzero(runs[delay:] == runs[: n - delay]) if delay < n else np.zeros(0, int)
        made[there + delay, place] = Z[there]
    return made


def design_columns(spaces: Sequence[np.ndarray], *, degree: int = 1, delays: Delays = (), runs: np.ndarray | None = None) -> np.ndarray:
    """Make the columns that readouts see of component scores: products of degree 2, then delays, of each space; spaces side by side.

    Parameters
    ----------
    spaces : (n, k_i) each.
    runs : (n,) int, needed where there are ``delays``.

    Returns
    -------
    (n, Σ :func:`n_columns`).
    """
    made = [polynomial_features(scores, degree) for scores in spaces]
    if delays:
        made = [delayed(np.asarray(scores), delays, runs) for scores in made]
    return made[0] if len(made) == 1 else np.concatenate(made, axis=1)


def n_columns(k: int, *, degree: int, delays: str) -> int:
    """Number of columns that :func:`design_columns` makes of k components at most, with ``delays`` as in a spec."""
    return n_polynomial(k, degree) * max((len(each) for each in read_delays(delays)), default=1)
