"""Noise ceilings: the share of a vertex's response variance that any model could explain, from 0 to 1.

The square root of a ceiling is the highest Pearson r that can be hoped for. No ceiling is a percentage here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from encoding.evaluation.label_sums import sums_by_label
from encoding.evaluation.splits import Fold

BLOCK_VOXELS = 512  # of 1,000 stimuli with three repeats are 12 MB
FLAT = 1e-7  # spread over the largest value that rounding alone can make
UNITS = {"fraction": (1, 1), "percent": (100, 1), "r": (1, 2), "r_percent": (100, 2)}
"""Units of given ceilings, each with its largest value and the power that makes a share of variance of it: variance or r², 0 to 1 or 0 to
100, and correlations, which are squared."""


def from_ncsnr(ncsnr: np.ndarray, *, n_three: int, n_two: int = 0, n_one: int = 0) -> np.ndarray:
    """The noise ceiling of responses averaged over one to three repeats.

    ``ncsnr² / (ncsnr² + (A/3 + B/2 + C) / (A + B + C))``, where A, B and C images were seen three times, twice
    and once: noise shrinks with averaging, signal does not.

    Parameters
    ----------
    ncsnr : any shape; signal over noise, both standard deviations, of single trials. At least 0; no unit.
    n_three, n_two, n_one : how many images were seen so often.

    Returns
    -------
    float32 of the shape of ``ncsnr``, 0 … 1. Where ncsnr is 0 so is the ceiling.

    Raises
    ------
    ValueError where an ncsnr is negative, NaN or infinite, a count is negative, or all are 0.

    References
    ----------
    Allen et al. (2022), A massive 7T fMRI dataset to bridge cognitive neuroscience and artificial intelligence.

    Examples
    --------
    >>> from_ncsnr(np.array([0.0, 1.0, 2.0]), n_three=100).round(4).tolist()
    [0.0, 0.75, 0.9230999946594238]
    """
    counts = np.array([n_three, n_two, n_one], dtype=np.float64)
    if (counts < 0).any() or counts.sum() == 0:
        raise ValueError(f"Images seen three times, twice and once must be counts, not all 0: got {n_three}, {n_two}, {n_one}.")
    return _ceiling(ncsnr, counts @ [1 / 3, 1 / 2, 1] / counts.sum())


def from_ncsnr_of_rows(ncsnr: np.ndarray, n_trials: np.ndarray) -> np.ndarray:
    """The noise ceiling of responses of which row i is the mean of ``n_trials[i]`` trials: :func:`from_ncsnr` for any number of them.

    Examples
    --------
    >>> from_ncsnr_of_rows(np.array([1.0]), np.array([3, 3])).tolist()
    [0.75]
    """
    return _ceiling(ncsnr, float(np.mean(1 / np.asarray(n_trials, np.float64))))


def _ceiling(ncsnr: np.ndarray, noise: float) -> np.ndarray:
    signal = np.asarray(ncsnr, dtype=np.float64)
    _require(np.isfinite(signal) & (signal >= 0), signal, "an ncsnr is a finite number, 0 or more")
    return (signal**2 / (signal**2 + noise)).astype(np.float32)


def ncsnr_of_repeats(rows: np.ndarray, stimuli: np.ndarray, sessions: np.ndarray | None = None) -> np.ndarray:
    """NSD's noise ceiling signal-to-noise ratio of single trials, from rows of which some repeat a stimulus.

    The ratio of the standard deviations of signal and noise, whose variances are those of :func:`variance_components`; a signal below 0
    counts as 0. The ceiling that follows for the mean of k repeats is ``1 - 1 / F`` with the F of a one-way analysis of variance, where
    every one of S stimuli has k repeats. For normal responses it is too low by ``2 (1 - c) / (S - 3)`` on average, c being the true
    ceiling, which is about ``1 / sqrt(S)`` of the standard error of one column; where c is near 0, cutting off at 0 makes it too high.

    Parameters
    ----------
    rows : (n_rows, n_columns), any float; in NSD z-scored within each session.
    stimuli : (n_rows,) int, equal for the rows of one stimulus. Stimuli that were shown once count for the variance of all rows.
    sessions : (n_rows,) int, of which rows were z-scored together; None where rows are as measured.

    Returns
    -------
    (n_columns,) float64, 0 or more. 0 where a column never varies.

    Raises
    ------
    ValueError where fewer than two stimuli have repeats, or every session shows one stimulus.

    References
    ----------
    Allen et al. (2022), A massive 7T fMRI dataset to bridge cognitive neuroscience and artificial intelligence, Methods.

    Examples
    --------
    Two stimuli of two repeats each: the noise has variance (2 + 2) / 2 = 2, the means of stimuli 49 / 2, of which 2 / 2 is noise.

    >>> float(ncsnr_of_repeats(np.array([[1.0], [3.0], [8.0], [10.0]]), np.array([0, 0, 1, 1]))[0] ** 2)
    11.75
    """
    _repeated(stimuli)
    signal, noise = variance_components(rows, stimuli, sessions)
    largest = np.abs(rows).max(axis=0).astype(np.float64)
    flat = np.sqrt(np.maximum(signal, 0) + noise) <= FLAT * largest
    noise = np.maximum(noise, np.square(FLAT * largest))  # repeats that agree to the last digit
    return np.where(flat, 0, np.sqrt(np.maximum(signal, 0) / np.where(flat, 1, noise)))


def variance_components(rows: np.ndarray, stimuli: np.ndarray, sessions: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Unbiased variances of signal (between stimuli) and noise (between repeats of a stimulus), for any numbers of repeats.

    Sums of squares of all rows, and of rows around the mean of their stimulus, are set equal to their expectations. Without sessions
    this is the analysis of variance of one random factor. Taking out the mean of each session, as z-scoring does, takes from both sums
    a share of noise and signal that depends on which stimuli a session showed, and is accounted for.

    Parameters
    ----------
    rows, stimuli, sessions : as :func:`ncsnr_of_repeats` takes them; the mean of each session is taken out here.

    Returns
    -------
    signal, noise : (n_columns,) float64. The signal's may be below 0, or it would not be unbiased.

    Raises
    ------
    ValueError where signal and noise cannot be told apart: no stimulus has repeats, or every session shows one stimulus.

    References
    ----------
    Henderson (1953), Estimation of variance and covariance components, Biometrics 9; Searle, Casella & McCulloch (1992), Variance
    Components, chapter 5.
    """
    _, stimulus, times = np.unique(stimuli, return_inverse=True, return_counts=True)
    _, session, lengths = np.unique(np.zeros(len(rows)) if sessions is None else sessions, return_inverse=True, return_counts=True)
    n_rows, n_stimuli, n_sessions = len(rows), len(times), len(lengths)
    shown = np.zeros((n_stimuli, n_sessions))  # how often a session showed a stimulus
    np.add.at(shown, (stimulus, session), 1)
    share = shown / lengths
    within_sessions = (shown * share).sum()
    noise_of_total, signal_of_total = n_rows - n_sessions, n_rows - within_sessions
    noise_of_repeats = n_rows - n_stimuli - n_sessions + (shown * share / times[:, None]).sum()
    signal_of_repeats = within_sessions - (np.einsum("sl,sl->s", share @ (shown.T @ shown), share) / times).sum()
    determinant = noise_of_repeats * signal_of_total - signal_of_repeats * noise_of_total
    if determinant <= FLAT * n_rows:
        raise ValueError("a ceiling from repeats needs stimuli that have repeats, and sessions that show several stimuli.")
    values = np.asarray(rows, np.float64)
    values = values - sums_by_label(values, session, n_sessions)[session] / lengths[session, None]
    total = np.square(values).sum(axis=0)
    repeats = np.maximum(total - (np.square(sums_by_label(values, stimulus, n_stimuli)) / times[:, None]).sum(axis=0), 0)
    signal = (noise_of_repeats * total - noise_of_total * repeats) / determinant
    noise = (signal_of_total * repeats - signal_of_repeats * total) / determinant
    return signal, np.maximum(noise, 0)


def ncsnr_of_correlations(rows: np.ndarray, stimuli: np.ndarray) -> np.ndarray:
    """Signal over noise of single trials from the correlation of repeats: ``sqrt(rho / (1 - rho))``.

    rho is the mean correlation of two single repeats over the stimuli, each with its first n repeats, n being the fewest (two at least)
    that any repeated stimulus has. With two repeats, the ceiling of their mean is the split-half reliability of Spearman and Brown,
    ``2 rho / (1 + rho)``; :func:`from_repeats` has the formula for more.

    Parameters
    ----------
    rows, stimuli : as :func:`ncsnr_of_repeats` takes them; stimuli that were shown once are left out.

    Returns
    -------
    (n_columns,) float64, 0 or more.

    Raises
    ------
    ValueError where fewer than two stimuli have repeats.

    Examples
    --------
    >>> ncsnr = ncsnr_of_correlations(np.array([[1.0], [1.0], [2.0], [3.0], [3.0], [2.0]]), np.array([0, 0, 1, 1, 2, 2]))
    >>> from_ncsnr(ncsnr, n_three=0, n_two=3).tolist()  # rho is 1/2
    [0.6666666865348816]
    """
    stimuli, n = _repeated(stimuli)
    order = np.argsort(stimuli, kind="stable")
    first = np.flatnonzero(np.diff(stimuli[order], prepend=-1))
    count = np.bincount(stimuli)
    chosen = order[first[count >= 2][:, None] + np.arange(n)]  # (n_stimuli, n) rows
    reliability = from_repeats(np.asarray(rows)[chosen]).astype(np.float64)
    rho = np.minimum(reliability / (n - (n - 1) * reliability), 1 - FLAT)
    return np.sqrt(rho / (1 - rho))


def describe_repeats(stimuli: np.ndarray) -> str:
    """How many stimuli have repeats, and how many, for display beside a ceiling.

    Examples
    --------
    >>> describe_repeats(np.array([0, 0, 1, 1, 1, 2]))
    '2 stimuli shown 2 to 3 times (5 of 6 rows)'
    """
    count = np.unique(stimuli, return_counts=True)[1]
    repeated = count[count > 1]
    if not len(repeated):
        return f"no stimulus shown twice ({len(stimuli):,} rows)"
    times = f"{repeated.min()}" if repeated.min() == repeated.max() else f"{repeated.min()} to {repeated.max()}"
    return f"{len(repeated):,} stimuli shown {times} times ({repeated.sum():,} of {len(stimuli):,} rows)"


def _repeated(stimuli: np.ndarray) -> tuple[np.ndarray, int]:
    """Stimuli numbered from 0, and the fewest repeats of those that have any."""
    _, numbers, count = np.unique(stimuli, return_inverse=True, return_counts=True)
    if (count > 1).sum() < 2:
        raise ValueError(f"a ceiling from repeats needs two stimuli or more that have repeats; here are {describe_repeats(stimuli)}.")
    return numbers, int(count[count > 1].min())


def from_repeats(repeats: np.ndarray) -> np.ndarray:
    """The noise ceiling of responses averaged over repeats, from how well single repeats agree.

    ``n rho / (1 + (n - 1) rho)`` (Spearman-Brown), with rho the mean correlation of two single repeats over the stimuli. It is
    the reliability of the average: the correlation of two such averages, and the share of its variance that is not noise.
    With two repeats it is the split-half reliability ``2 rho / (1 + rho)`` by which the Algonauts 2021 challenge normalises.
    The challenge's own ceiling comes from the responses that it withholds; from the three repeats of its training clips only a
    rougher one can be had.

    Parameters
    ----------
    repeats : (n_stimuli, n_repeats, n_voxels), any float; two stimuli and two repeats at least.

    Returns
    -------
    (n_voxels,) float32, 0 … 1. 0 where repeats do not agree, and where a repeat never varies. With no signal
    at all an estimate is above 0 about half the time.

    Raises
    ------
    ValueError where the shape is another one.

    References
    ----------
    Spearman (1910), Correlation calculated from faulty data; Brown (1910), Some experimental results in the correlation of
    mental abilities.

    Examples
    --------
    >>> from_repeats(np.array([[[1.0], [1.0]], [[2.0], [3.0]], [[3.0], [2.0]]])).tolist()  # rho is 1/2
    [0.6666666865348816]
    """
    if np.ndim(repeats) != 3 or min(np.shape(repeats)[:2]) < 2:
        raise ValueError(f"Repeats have shape (n_stimuli, n_repeats, n_voxels) with two or more of the first two, not {np.shape(repeats)}.")
    n_stimuli, n, n_voxels = repeats.shape
    reliability = np.zeros(n_voxels, np.float32)
    for start in range(0, n_voxels, BLOCK_VOXELS):
        z = np.array(repeats[:, :, start : start + BLOCK_VOXELS], dtype=np.float64)
        z -= z.mean(axis=0)
        norm = np.sqrt(np.einsum("srv,srv->rv", z, z))
        flat = norm <= FLAT * np.abs(repeats[:, :, start : start + BLOCK_VOXELS]).max(axis=0) * np.sqrt(n_stimuli)
        z /= np.where(flat, np.inf, norm)
        rho = (np.square(z.sum(axis=1)).sum(axis=0) - n) / (n * (n - 1))  # the sum of all n x n correlations less the diagonal
        rho = np.where(flat.any(axis=0), 0, np.clip(rho, 0, 1))
        reliability[start : start + BLOCK_VOXELS] = n * rho / (1 + (n - 1) * rho)
    return reliability


def noise_share(stimuli: np.ndarray, folds: Sequence[Fold]) -> float:
    """The share of a row's noise variance that averaging repeats leaves: the mean over tested stimuli of 1 / repeats.

    Parameters
    ----------
    stimuli : (n_rows,) int, equal for rows of one stimulus.
    """
    return float(np.mean(np.concatenate([1 / np.unique(stimuli[fold.test], return_counts=True)[1] for fold in folds])))


def of_means(ceiling: np.ndarray, share: float) -> np.ndarray:
    """Ceilings of means of repeats, c / (c + (1 - c) share), from those of single rows and :func:`noise_share`; of the same dtype."""
    return ceiling if share == 1 else (ceiling / (ceiling + (1 - ceiling) * share)).astype(ceiling.dtype)


def as_fraction(values: np.ndarray, unit: str | None = None) -> np.ndarray:
    """Convert noise ceilings to fractions.

    Parameters
    ----------
    values : any shape, in the unit.
    unit : one of :data:`UNITS`; None takes :func:`guess_unit` of these values alone.

    Returns
    -------
    float32 of the shape of ``values``, 0 … 1.

    Raises
    ------
    ValueError where a value is below 0, above 1 (100 %), NaN or infinite, or the unit is ambiguous.

    Examples
    --------
    >>> as_fraction(np.array([0.0, 25.0, 100.0])).tolist()
    [0.0, 0.25, 1.0]
    >>> as_fraction(np.array([0.0, 0.5, 1.0]), "r").tolist()
    [0.0, 0.25, 1.0]
    """
    values = np.asarray(values, dtype=np.float64)
    _require(np.isfinite(values) & (values >= 0) & (values <= 100), values, "a ceiling lies between 0 and 1, or between 0 and 100 %")
    largest, power = UNITS[unit or guess_unit([values])]
    _require(values <= largest, values, f"a ceiling in this unit lies between 0 and {largest:g}")
    return ((values / largest) ** power).astype(np.float32)


def guess_unit(maps: Sequence[np.ndarray]) -> str:
    """Infer the unit of noise ceilings, "fraction" or "percent", from the largest value over all maps of one subject.

    Parameters
    ----------
    maps : arrays of noise ceilings of one subject, all in the same unit.

    Returns
    -------
    "fraction" where the maximum is at most 1, "percent" where it is above 2: a subject whose ceilings in percent all lie below 2 is
    not plausible.

    Raises
    ------
    ValueError where the maximum lies between 1 and 2, which is ambiguous.
    """
    largest = max((float(np.max(values)) for values in maps if np.size(values)), default=0.0)
    if 1 < largest <= 2:
        raise ValueError(
            f"the largest noise ceiling is {largest:.4g}, so fractions or percentages cannot be told apart. For fractions save "
            'np.minimum(values, 1); in a dataset.toml say ceiling_unit = "percent" or "fraction".'
        )
    return "percent" if largest > 2 else "fraction"


def _require(right: np.ndarray, values: np.ndarray, law: str) -> None:
    if not right.all():
        first = int(np.flatnonzero(~right.ravel())[0])
        raise ValueError(f"{(~right).sum():,} of {right.size:,} values are wrong, the first at {first} ({values.flat[first]}): {law}.")
