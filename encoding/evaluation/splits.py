"""Split rows into training and test sets; no stimulus is on both sides."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from encoding.evaluation.label_sums import sums_by_label

N_REMEMBERED = 64  # splits and inner folds that a process keeps: fits of one experiment have few
ALL = "all"  # the split that trains on every row and tests on none
WITHIN = "/"  # between a split and the one of its training rows
NAMED = "named"  # a split that comes with the data
RUNS = "runs"  # the split that leaves out one run, or group, at a time
NAMED_SPLIT = re.compile(rf"{NAMED}:[\w.-]+(:[\w.-]+)?")


@dataclass(frozen=True)
class Fold:
    """Row indices of one fold: ``train`` and ``test``, sorted int64, disjoint, read-only; ``test`` is empty with the split ``all``."""

    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class NamedSplit:
    """Training rows and test sets that come with a data set: ``train`` and each of ``tests``, by name, are sorted int64 row numbers."""

    train: np.ndarray
    tests: Mapping[str, np.ndarray]


def folds(
    split: str,
    groups: np.ndarray,
    named: Mapping[str, NamedSplit] | None = None,
    *,
    runs: np.ndarray | None = None,
    stimuli: np.ndarray | None = None,
) -> list[Fold]:
    """The folds that ``split`` names, over the rows that ``groups`` labels.

    Parameters
    ----------
    split : ``holdout:<train fraction>:<seed>``, one fold, the shuffle of the Algonauts development
        kit (``numpy.random.seed(seed)``, shuffle, the first fraction trains);
        ``kfold:<folds>:<seed>``, as many folds in which every row is tested once;
        ``first:<n>``, one fold, the first n different stimuli train and the others test;
        ``runs``, as many folds as groups, each of which is tested once: leave one run out;
        ``blocks:<n>:<gap>``, n folds, each of which tests one of n stretches of equal length of every run, in order; the ``gap`` samples
        on either side of it are in neither set. For few runs: it alone parts the rows of a run;
        ``all``, one fold, every row trains and none tests;
        ``named:<name>`` or ``named:<name>:<test set>``, one fold, the training rows and the first or the named test set of one of
        ``named``; or
        ``<split>/<split>``, the folds of the second within the training rows of each fold of the first, whose test rows take no
        part: for the choice of a model on validation stimuli.
    groups : (n_stimuli,) int. Rows with the same number (repeats of one stimulus) stay together.
    named : the splits that come with the data.
    runs : (n_stimuli,) int, the run of each row where rows are samples of runs, in the order of time; else None.
    stimuli : (n_stimuli,) int, equal for rows of one stimulus, where ``groups`` are coarser; else None. Training rows of a stimulus that
        the fold tests are left out of it: two runs may share a few stimuli, and ``blocks`` tests a stimulus where it stands in each run.

    Raises
    ------
    ValueError where the text cannot be read or there are fewer stimuli than folds.
    """
    groups = np.ascontiguousarray(groups)
    if split.startswith(f"{NAMED}:"):
        outer, _, inner = split.partition(WITHIN)
        fold = _named_fold(outer, groups, named or {}, stimuli)
        if not inner:
            return [fold]
        parts = _within(inner, fold, groups, runs, stimuli)
        return [Fold(train=_read_only(fold.train[part.train]), test=_read_only(fold.train[part.test])) for part in parts]
    of_runs, of_stimuli = (b"" if each is None else np.ascontiguousarray(each, np.int64).tobytes() for each in (runs, stimuli))
    return list(_folds(split, groups.tobytes(), groups.dtype.str, of_runs, of_stimuli))


def _within(split: str, fold: Fold, groups: np.ndarray, runs: np.ndarray | None, stimuli: np.ndarray | None) -> list[Fold]:
    """The folds of a split of a fold's training rows, numbered among these."""
    runs, stimuli = (None if each is None else each[fold.train] for each in (runs, stimuli))
    return folds(split, groups[fold.train], runs=runs, stimuli=stimuli)


def _fold(split: str, train: np.ndarray, test: np.ndarray, stimuli: np.ndarray | None, *, of: str = "") -> Fold:
    """A fold without the training rows of tested ``stimuli`` (n_rows,); ValueError where fewer than two rows train or test, with ``of``."""
    untested = train if stimuli is None else train[~np.isin(stimuli[train], stimuli[test])]
    if len(untested) < 2 or len(test) < 2:
        left_out = len(train) - len(untested)
        why = f" {left_out:,} training rows were left out, as they repeat stimuli that are tested." if left_out else ""
        raise ValueError(f"{split!r} leaves fewer than two training or test rows{of}.{why}")
    return Fold(train=_read_only(untested), test=_read_only(test))


def _named_fold(split: str, groups: np.ndarray, named: Mapping[str, NamedSplit], stimuli: np.ndarray | None) -> Fold:
    """The fold of ``named:<name>`` or ``named:<name>:<test set>``; ValueError where there is none, or it parts a group of rows."""
    _, name, *test = split.split(":")
    if name not in named:
        known = f"the splits {', '.join(named)}" if named else "no named split"
        raise ValueError(f"{split!r}: the data come with {known}.")
    tests = named[name].tests
    test_set = ":".join(test) or next(iter(tests))
    if test_set not in tests:
        raise ValueError(f"{split!r}: {name} has the test sets {', '.join(tests)}.")
    train, test = named[name].train.copy(), tests[test_set].copy()
    torn = np.intersect1d(groups[train], groups[test])
    if len(torn):
        one, other = (int(rows[groups[rows] == torn[0]][0]) for rows in (train, test))
        raise ValueError(
            f"{split!r} trains on row {one} and tests on row {other}, which are of one stimulus or group. A score would be of a stimulus "
            "that was trained on: put all its rows on one side, or leave some out."
        )
    return _fold(split, train, test, stimuli)


@lru_cache(N_REMEMBERED)
def _folds(split: str, data: bytes, dtype: str, of_runs: bytes, of_stimuli: bytes) -> tuple[Fold, ...]:
    """:func:`folds` of the groups, runs and stimuli of these bytes; arrays are read-only, since several fits share them."""
    groups = np.frombuffer(data, dtype)
    runs, stimuli = (np.frombuffer(each, np.int64) if each else None for each in (of_runs, of_stimuli))
    outer, _, inner = split.rpartition(WITHIN)
    if outer:
        return tuple(
            Fold(train=_read_only(fold.train[part.train]), test=_read_only(fold.train[part.test]))
            for fold in folds(outer, groups, runs=runs, stimuli=stimuli)
            for part in _within(inner, fold, groups, runs, stimuli)
        )
    if split == ALL:
        return (Fold(train=_read_only(np.arange(len(groups))), test=_read_only(np.zeros(0, np.int64))),)
    kind, size, seed = parse_split(split)
    if kind == "blocks":
        if runs is None:
            raise ValueError(f"{split!r} cuts runs into stretches, and the rows of these data are no samples of runs. Write kfold:5:0.")
        return tuple(_blocks(split, runs, int(size), seed, stimuli))
    of_group, member = np.unique(groups, return_inverse=True)
    order = np.arange(len(of_group))
    np.random.RandomState(seed).shuffle(order)
    if kind == "first":
        in_order = np.argsort(np.unique(groups, return_index=True)[1])  # stimuli as they come
        parts = [in_order[size:]]
    elif kind == "holdout":
        n_train = int(np.round(len(order) / 100 * (size * 100)))  # the development kit's own rounding
        parts = [order[n_train:]]
    elif kind == RUNS:
        if len(order) < 2:
            raise ValueError(f"{split!r} leaves out one run at a time, and all rows are of one. Write blocks:5:10 (stretches, gap).")
        parts = np.arange(len(order))[:, None]
    else:
        if len(order) < size:
            raise ValueError(f"{split!r} asks for {size} folds but there are only {_counted(groups)}. Ask for fewer folds.")
        parts = np.array_split(order, size)
    tested = (np.isin(member, part) for part in parts)
    of = f" of {_counted(groups)}"
    return tuple(_fold(split, np.flatnonzero(~rows), np.flatnonzero(rows), stimuli, of=of) for rows in tested)


def _blocks(split: str, runs: np.ndarray, n: int, gap: int, stimuli: np.ndarray | None) -> Iterator[Fold]:
    """The folds of ``blocks:<n>:<gap>`` over rows of ``runs`` (n_rows,), which show ``stimuli``."""
    place = np.empty(len(runs), np.int64)  # of a row within its run
    for run in np.unique(runs):
        place[runs == run] = np.arange((runs == run).sum())
    longest = int(place.max()) + 1
    block = place * n // longest
    for number in range(n):
        first, last = -(-number * longest // n), -(-(number + 1) * longest // n) - 1
        tested = np.flatnonzero(block == number)
        train = np.flatnonzero((place < first - gap) | (place > last + gap))
        yield _fold(split, train, tested, stimuli, of=f": runs have up to {longest:,} rows")


def _read_only(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array


def mean_of_repeats(values: np.ndarray, stimuli: np.ndarray) -> np.ndarray:
    """Average the rows of each stimulus.

    Parameters
    ----------
    values : (n_rows, ...).
    stimuli : (n_rows,) int, equal for rows of one stimulus.

    Returns
    -------
    (n_stimuli, ...) of the dtype of ``values``, in order of first appearance.

    Examples
    --------
    >>> mean_of_repeats(np.array([1.0, 5.0, 3.0]), np.array([7, 2, 7])).tolist()
    [2.0, 5.0]
    """
    _, first, member = np.unique(stimuli, return_index=True, return_inverse=True)
    number = np.argsort(np.argsort(first))[member]
    return (sums_by_label(values, number, len(first)) / np.bincount(number).reshape(-1, *[1] * (values.ndim - 1))).astype(values.dtype)


def inner_folds(groups: np.ndarray, n_folds: int, seed: int = 0) -> np.ndarray:
    """Assign training rows to inner cross-validation folds, for the choice of a penalty.

    Parameters
    ----------
    groups : (n_train,) int, stimulus or group of each row; a group is never divided.
    n_folds : number of folds.
    seed : of the random assignment.

    Returns
    -------
    (n_train,) int in 0 … n_folds - 1; read-only.

    Raises
    ------
    ValueError where there are fewer different stimuli than folds.
    """
    groups = np.ascontiguousarray(groups)
    return _inner_folds(groups.tobytes(), groups.dtype.str, n_folds, seed)


def inner_blocks(groups: np.ndarray, runs: np.ndarray, n_folds: int, seed: int = 0) -> np.ndarray:
    """Assign training rows that are samples of runs to inner cross-validation folds; see :func:`inner_folds`.

    Groups of runs are never divided: where there are fewer than folds, each is a fold. Where all rows are of one group, its runs are cut
    into ``n_folds`` stretches, in order.

    Parameters
    ----------
    groups, runs : (n_train,) int, the group and the run of each row.
    """
    n_groups = len(np.unique(groups))
    if n_groups > 1:
        return inner_folds(groups, min(n_folds, n_groups), seed)
    found = np.empty(len(runs), np.int64)
    for run in np.unique(runs):
        rows = np.flatnonzero(runs == run)
        if len(rows) < n_folds:
            raise ValueError(f"{n_folds} folds of the training rows need as many samples of each run; one has {len(rows):,}.")
        found[rows] = np.arange(len(rows)) * n_folds // len(rows)
    return _read_only(found)


@lru_cache(N_REMEMBERED)
def _inner_folds(data: bytes, dtype: str, n_folds: int, seed: int) -> np.ndarray:
    """:func:`inner_folds` of the groups whose bytes are ``data``; read-only, since several fits share it."""
    groups = np.frombuffer(data, dtype)
    stimuli, member = np.unique(groups, return_inverse=True)
    if len(stimuli) < n_folds:
        raise ValueError(
            f"{n_folds} folds of the training rows need as many groups at least; there are {_counted(groups)}. "
            "Ask for fewer (a smaller n_folds or, of a trained readout, a larger validation share) or for a split that trains on more."
        )
    number = np.empty(len(stimuli), int)
    number[np.random.RandomState(seed).permutation(len(stimuli))] = np.arange(len(stimuli)) * n_folds // len(stimuli)
    return _read_only(number[member])


def check_split(split: str) -> str:
    """Return a split of :func:`folds`; ValueError where it is none, or one within or of ``all``, which leaves nothing to test."""
    parts = split.split(WITHIN)
    if parts != [ALL]:
        for part in parts[1:] if NAMED_SPLIT.fullmatch(parts[0]) else parts:
            parse_split(part)
    return split


def has_several_folds(split: str) -> bool:
    """Whether a split of :func:`folds` tests in several folds, so that training rows of one fold are test rows of another.

    Examples
    --------
    >>> has_several_folds("kfold:5:0"), has_several_folds("holdout:0.9:5"), has_several_folds("named:own/runs")
    (True, False, True)
    """
    return any(part.partition(":")[0] in ("kfold", RUNS, "blocks") for part in split.split(WITHIN))


def parse_split(split: str) -> tuple[str, float | int, int]:
    """Parse the name of a split into its kind, size (test fraction or number of folds) and seed."""
    kind, *numbers = split.split(":")
    try:
        if kind == RUNS and not numbers:
            return kind, 0, 0
        if kind == "first" and len(numbers) == 1 and int(numbers[0]) >= 2:
            return kind, int(numbers[0]), 0
        size, seed = numbers
        if kind == "holdout" and 0 < float(size) < 1:
            return kind, float(size), int(seed)
        if kind == "kfold" and int(size) >= 2:
            return kind, int(size), int(seed)
        if kind == "blocks" and int(size) >= 2 and int(seed) >= 0:
            return kind, int(size), int(seed)
    except ValueError:
        pass
    raise ValueError(
        f"Split {split!r} is not understood. Write holdout:0.9:5 (fraction, seed), kfold:5:0 (folds, seed), first:900 (so many stimuli, or "
        "groups of rows, train), runs (leaves out one run at a time), blocks:5:10 (stretches of each run, gap in samples), named:<name> (a "
        "split that comes with the data) or all (trains on every stimulus and tests none)."
    )


def _counted(groups: np.ndarray) -> str:
    """Say how many different stimuli there are or, where rows are grouped, how many groups of how many rows."""
    n_groups = len(np.unique(groups))
    if n_groups == len(groups):
        return f"{n_groups:,} different stimuli"
    return f"{n_groups:,} groups (of {len(groups):,} rows; repeats and rows of one group are never parted)"
