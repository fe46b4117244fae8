"""What a prediction for a new stimulus is compared with: training images, predictions for them, and residuals of test images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoding.datasets import Stimuli
from encoding.datasets._base import Chosen, roi_names
from encoding.fits.composition import ComposedResult
from encoding.fits.predictions import Columns
from encoding.fits.result import Result
from encoding.prediction.predict import complete
from encoding.prediction.predictor import ComposedPredictor, Predictor
from encoding.prediction.reliable import reliable_mask
from encoding.runtime.device import choose_device
from encoding.runtime.progress import Report, silent, subprogress

if TYPE_CHECKING:
    import pandas as pd

BLOCK_VALUES = 16_000_000  # of distances, or of predictions, in memory at a time
BLOCK_STIMULI = 128  # that pass at a time
LEVEL = 0.95


@dataclass(frozen=True)
class Distances:
    """Distances of stimuli to the nearest training stimulus, in the space of a fit's components.

    Attributes
    ----------
    train : for each fold (n_train, k) float32, the component scores that its models were trained on.
    test : (n_test,) float64, sorted: each test stimulus's Euclidean distance to the nearest training stimulus of its fold.
    """

    train: tuple[np.ndarray, ...]
    test: np.ndarray

    @classmethod
    def of(cls, result: Result) -> Distances | None:
        """Measure the test stimuli of a fit; None where its models have no components of their own, or these are not here."""
        plan = result.plan
        if isinstance(result, ComposedResult) or not (
            result.has_data and plan.has_test and plan.readout.uses_components and not plan.spec.delays
        ):
            return None
        train, test = [], []
        for number, fold in enumerate(plan.folds):
            Z = result.components(number)
            train.append(np.ascontiguousarray(Z[fold.train]))
            test.append(nearest(Z[fold.test], train[-1]))
        return cls(tuple(train), np.sort(np.concatenate(test)))

    def percentile(self, positions: Mapping[int, np.ndarray]) -> np.ndarray:
        """Share of test stimuli, 0 to 100, that are nearer to their training stimuli than each of n new stimuli.

        Parameters
        ----------
        positions : fold to component scores (n, k); distances are averaged over folds.
        """
        distance = np.mean([nearest(Z, self.train[fold]) for fold, Z in positions.items()], axis=0)
        return 100 * np.searchsorted(self.test, distance, side="left") / len(self.test)


def unlike_text(percentile: float, what: str = "images") -> str:
    """Describe in words how unlike the training stimuli a stimulus is (:meth:`Distances.percentile`), and what follows.

    >>> unlike_text(97.0)
    'further from the training images than 97 % of the test images: trust this little'
    """
    further = f"further from the training {what} than {percentile:.0f} % of the test {what}"
    if percentile >= 95:
        return f"{further}: trust this little"
    if percentile >= 75:
        return f"{further}: trust this less than the test r says"
    return f"{further}, no unusual distance: trust this as far as the test r says"


def nearest(Z: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Euclidean distance of each row of Z (n, k) to the nearest row of ``train`` (n_train, k): (n,) float64."""
    from scipy.spatial.distance import cdist

    step = max(1, BLOCK_VALUES // max(1, len(train)))
    return np.concatenate([cdist(Z[start : start + step], train).min(1) for start in range(0, len(Z), step)] or [np.zeros(0)])


@dataclass(frozen=True)
class RegionReference:
    """Predictions of a fit for the mean response of a region, which those for new stimuli are compared with.

    Attributes
    ----------
    train : (n_train,) float64, sorted: predictions for the training stimuli.
    errors : (n_test,) float64, sorted: absolute differences between measured and predicted mean response to the test stimuli.
    """

    train: np.ndarray
    errors: np.ndarray

    @classmethod
    def of(cls, result: Result, columns: Columns) -> RegionReference:
        """Predict the training and test stimuli of a fit, some vertices at a time.

        Parameters
        ----------
        columns : hemisphere to the columns whose mean is taken, all of them fitted.
        """
        total, plan = sum(map(len, columns.values())), result.plan
        trained = [fold.train for fold in plan.folds]
        train, error = [np.zeros(len(rows)) for rows in trained], np.zeros(result.n_test)
        step = max(1, BLOCK_VALUES // max(1, plan.subject.n_stimuli))
        for hemi, chosen in columns.items():
            for some in (chosen[start : start + step] for start in range(0, len(chosen), step)):
                for number, rows in enumerate(trained):
                    train[number] += result.predicted_rows(number, rows, hemi, some).sum(1, dtype=float)
                error += (result.measured(hemi, some) - result.predicted(hemi, some)).sum(1, dtype=float)
        return cls(np.sort(np.concatenate(train) / total), np.sort(np.abs(error) / total))

    def percentile(self, predicted: np.ndarray) -> np.ndarray:
        """Share of the predictions for training stimuli, 0 to 100, that are below each prediction."""
        return 100 * np.searchsorted(self.train, predicted, side="left") / len(self.train)

    def half_width(self, level: float = LEVEL) -> float:
        """Half of the width of the region's prediction interval, by :func:`conformal_half_width`."""
        return conformal_half_width(self.errors, level)


def conformal_half_width(errors: np.ndarray, level: float = LEVEL) -> float:
    """Half of the width of a prediction interval from sorted absolute errors of test stimuli, (n_test,): NaN with too few.

    A split conformal interval (Lei et al. 2018, JASA 113, eq. 3): the ceil((n + 1) level)-th smallest absolute error of n test
    stimuli. It contains the measured response to at least that share of new stimuli of the same kind as those, whatever their
    distribution.
    """
    rank = int(np.ceil((len(errors) + 1) * level))
    return float(errors[rank - 1]) if rank <= len(errors) else float("nan")


def why_no_interval(result: Result) -> str:
    """Why the predictions of a fit have no prediction interval; empty where they have one."""
    if not result.plan.has_test:
        return "every stimulus was used for training, and it is made of the errors on test stimuli"
    if not result.has_data:
        return "it is made of the errors on test stimuli, whose responses are not in an imported fit"
    least = int(np.ceil(LEVEL / (1 - LEVEL)))
    return "" if result.n_test >= least else f"it needs {least} test stimuli, and this fit has {result.counted('test')}"


def roi_half_widths(result: Result, least_r: float = -1.0) -> dict[tuple[str, str], float]:
    """Half of the width of the prediction interval of each ROI's mean in each hemisphere, as (roi, hemi) to width.

    The mean is over the vertices with a test r of at least ``least_r``; an ROI without any has no entry.
    """
    widths, mask = {}, reliable_mask(result, least_r)
    for roi in roi_names(result.plan.subject):
        for hemi in result.plan.hemis:
            columns = result.columns(roi, hemi)
            columns = columns[mask[hemi][columns]]
            if len(columns):
                errors = (result.measured(hemi, columns) - result.predicted(hemi, columns)).mean(1, dtype=float)
                widths[roi, hemi] = conformal_half_width(np.sort(np.abs(errors)))
    return widths


def region_columns(result: Result, roi: str, least_r: float = -1.0) -> dict[str, np.ndarray]:
    """Columns of an ROI with a test r of at least ``least_r``, by default every one that has a score, per fitted hemisphere that has any.

    Every column of the ROI where the fit has no test stimuli.

    Raises
    ------
    ValueError where there is none.
    """
    columns = {hemi: result.columns(roi, hemi) for hemi in result.plan.hemis}
    mask = reliable_mask(result, least_r)
    columns = {hemi: chosen[mask[hemi][chosen]] for hemi, chosen in columns.items()}
    columns = {hemi: chosen for hemi, chosen in columns.items() if len(chosen)}
    if not columns:
        unit = result.plan.subject.unit
        if not any(len(result.columns(roi, hemi)) for hemi in result.plan.hemis):
            raise ValueError(f"{roi} has no {unit} in this subject's fitted blocks: {', '.join(result.plan.hemis)}.")
        if not any(np.isfinite(result.score(hemi)[result.columns(roi, hemi)]).any() for hemi in result.plan.hemis):
            raise ValueError(f"No {unit} of {roi} has a test r: they were not fitted, or their responses or predictions never vary.")
        raise ValueError(f"No {unit} of {roi} is predicted with a test r of {least_r:.2f} or more by this fit.")
    return columns


def rank_stimuli(
    predictor: Predictor | ComposedPredictor,
    stimuli: Stimuli,
    columns: Columns,
    *,
    distances: Distances | None = None,
    reference: RegionReference | None = None,
    report: Report = silent,
) -> pd.DataFrame:
    """Rank stimuli by a region's predicted mean response; a block of them is in memory at a time, and nothing is stored.

    Parameters
    ----------
    stimuli : n images, or clips with the fit's number of frames.
    columns : hemisphere to the region's columns (:func:`region_columns`).
    distances, reference : of the fit; without them their columns are left out.

    Returns
    -------
    DataFrame
        Highest prediction first: ``rank`` from 1, ``row`` in ``stimuli``, ``name``, ``predicted``; with ``reference`` the ends ``low`` and
        ``high`` of the 95 % prediction interval and ``above_training``, the percentage of training stimuli with a lower prediction; with
        ``distances`` ``unlike_training``, the percentage of test stimuli that are nearer to the training stimuli.
    """
    import pandas as pd

    n, predicted, unlike = len(stimuli), np.zeros(len(stimuli)), np.full(len(stimuli), np.nan)
    for start in range(0, n, BLOCK_STIMULI):
        rows = np.arange(start, min(start + BLOCK_STIMULI, n))
        positions: dict[int, list[np.ndarray]] = {}
        each = predictor(Chosen(stimuli, rows), columns=columns, **({} if distances is None else {"positions": positions}))
        predicted[rows] = np.concatenate(list(each.values()), axis=1).mean(1, dtype=float)
        if distances is not None:
            unlike[rows] = distances.percentile({fold: np.concatenate(parts) for fold, parts in positions.items()})
        report(min(start + BLOCK_STIMULI, n) / n, f"predicting: {rows[-1] + 1:,} of {n:,}")
    table = pd.DataFrame({"row": np.arange(n), "name": list(stimuli.names), "predicted": predicted})
    if reference is not None:
        half = reference.half_width()
        table = table.assign(low=predicted - half, high=predicted + half, above_training=reference.percentile(predicted))
    if distances is not None:
        table["unlike_training"] = unlike
    table = table.sort_values("predicted", ascending=False, kind="stable", ignore_index=True)
    table.insert(0, "rank", np.arange(1, n + 1))
    return table


def rank_folder(result: Result, stimuli: Stimuli, columns: Columns, *, report: Report = silent, device: str = "auto") -> pd.DataFrame:
    """Rank stimuli by a region's predicted mean response, with all that a finished fit can say of each (:func:`rank_stimuli`).

    Components and models that were evicted from the Store are computed again first.

    Raises
    ------
    CannotPredict, and whatever :meth:`encoding.prediction.predictor.Predictor.of` raises.
    """
    if result.has_data and not result.is_complete() and not isinstance(result, ComposedResult):
        complete(result.plan, result.store, subprogress(report, 0, 0.3), choose_device(device))
    predictor = Predictor.of(result, device=device)
    reference = RegionReference.of(result, columns) if result.has_data and result.plan.has_test else None
    known = {"distances": Distances.of(result), "reference": reference}
    return rank_stimuli(predictor, stimuli, columns, **known, report=subprogress(report, 0.3, 1))
