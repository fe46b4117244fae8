"""Similarity of a fit's features and responses without regression: RSA and CKA per ROI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoding.evaluation.representations import (
    FEWEST_STIMULI,
    InnerProducts,
    correlation_of_ranks,
    linear_cka,
    rank_correlation,
    ranks_of,
    rsa_ceiling,
)
from encoding.evaluation.splits import Fold, mean_of_repeats
from encoding.features import extraction as features
from encoding.fits.composition import READOUT
from encoding.fits.digests import reads_digest
from encoding.fits.resources import preflight
from encoding.fits.result import Result
from encoding.pipeline import extract_features
from encoding.runtime.device import choose_device
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.keys import digest
from encoding.storage.npy import read_block

if TYPE_CHECKING:
    import pandas as pd

SIMILARITY_VERSION = 2  # inner products about the columns' means
UNKNOWN_SIZE = 10_000  # features of a layer that is not stored, for an estimate of the duration
MOST_STIMULI = 1_000  # of a fold that are compared; of more, evenly spaced ones
FEWEST_VERTICES = 3  # of which a pattern has a correlation that is not -1 or 1 by itself
BLOCK_VALUES = 20_000_000  # features or responses held at a time, 80 MB
SECONDS_PER_DISTANCE = 1.5e-6  # of one rank correlation, on one core
PRODUCTS_PER_SECOND = 5e9
MEASURES = ("rsa", "rsa_tau", "cka", "cka_debiased", "rsa_repeats")
BOUNDS = ("ceiling_low", "ceiling_high")


class CannotCompare(ValueError):
    """A fit's features cannot be compared with responses. The message says why."""


@dataclass(frozen=True)
class Similarity:
    """RSA and CKA of each feature space of a fit with the responses of each ROI, on the fit's test stimuli.

    Attributes
    ----------
    result : the fit.
    spaces : names of the feature spaces: layers, or layers joined by `` + `` that were reduced together.
    n_stimuli : compared stimuli of the fold with the fewest; repeats of a stimulus are averaged.
    n_repeats : presentations of which the ceiling of RSA is computed, in the fold with the fewest; 0 where stimuli are not repeated.
    values : hemisphere and name of one of :data:`MEASURES` to (n_spaces, n_rois) float64, means over folds; ``ceiling_low`` and
        ``ceiling_high`` to (n_rois,). NaN where it is not defined.
    """

    result: Result
    spaces: tuple[str, ...]
    n_stimuli: int
    n_repeats: int
    values: Mapping[tuple[str, str], np.ndarray]

    def table(self) -> pd.DataFrame:
        """Tabulate, a row for each ROI, hemisphere and feature space.

        Columns: roi, hemi, n_vertices, space; rsa (Spearman) and rsa_tau (Kendall's tau-a) with the distances of responses averaged over
        repeats; rsa_repeats, the mean Spearman correlation with single repeats, and ceiling_low and ceiling_high, the bounds of that; cka
        and cka_debiased; r_mean, the encoding score of the fit.
        """
        import pandas as pd

        rows = []
        for place, roi in enumerate(self.result.selected_rois):
            for hemi in self.result.plan.hemis:
                columns = self.result.columns(roi, hemi)
                r = self.result.score(hemi)[columns]
                r_mean = float(np.nanmean(r)) if np.isfinite(r).any() else np.nan
                bounds = {name: float(self.values[hemi, name][place]) for name in BOUNDS}
                for number, space in enumerate(self.spaces):
                    measures = {name: float(self.values[hemi, name][number, place]) for name in MEASURES}
                    row = {"roi": roi, "hemi": hemi, "n_vertices": len(columns), "space": space} | measures
                    rows.append(row | bounds | {"r_mean": r_mean})
        return pd.DataFrame(rows)


def refusal(result: Result) -> str:
    """Explain why features and responses of a fit cannot be compared; empty where they can."""
    if not result.has_data:
        return "Features and responses did not come with this imported fit. Fit it again where the data are."
    if result.plan.spec.readout == READOUT:
        return "A composed fit has no features of its own: take one of its members."
    if not result.plan.readout.uses_components:
        return f"{result.plan.spec.readout} trains the network itself, so its features are no longer those of a layer."
    if result.plan.subject.runs is not None:
        return "RSA, CKA and spectra compare the responses to single stimuli, and a film's samples lag behind what is seen and overlap."
    return "" if result.plan.has_test else "Every stimulus was used for training, so there are no test stimuli to compare."


def estimated_seconds(result: Result) -> float:
    """Rough duration of :func:`similarity` in seconds, with the passes through the network where features are no longer stored."""
    seconds, plan = 1.0 + extraction_seconds(result), result.plan
    n_features, n_regions = n_features_of(result), len(result.selected_rois) * len(plan.hemis)
    n_vertices = sum(len(result.columns(roi, hemi)) for hemi in plan.hemis for roi in result.selected_rois)
    for fold in plan.folds:
        rows = _rows_of(fold, plan.subject.stimulus_of_row)
        n = len(np.unique(plan.subject.stimulus_of_row[rows]))
        n_repeats = len(rows) / max(1, n)
        seconds += n**2 * (sum(n_features) + n_vertices * (1 + n_repeats)) / PRODUCTS_PER_SECOND
        n_correlations = len(n_features) * (2 + n_repeats * (n_repeats > 1)) + 2 * n_repeats * (n_repeats > 1)
        seconds += n_regions * n_correlations * n * (n - 1) / 2 * SECONDS_PER_DISTANCE
    return seconds


def extraction_seconds(result: Result) -> float:
    """Rough duration in seconds of the passes through the network for features that are no longer stored; 0 where all are."""
    plan = result.plan
    if all(result.store.is_sound(key) for layer, key in plan.feature_keys.items() if layer not in plan.reduced_layers):
        return 0.0
    return preflight(plan, result.store).network_seconds


def n_features_of(result: Result) -> list[int]:
    """Number of features (or components) of each space that is compared; those of layers that are no longer stored count as 10,000."""
    plan, store = result.plan, result.store
    keys = [key for layer, key in plan.feature_keys.items() if layer not in plan.reduced_layers]
    sizes = [features.load(key, store).shape[1] if store.is_sound(key) else UNKNOWN_SIZE for key in keys]
    n_together = sum(any(layer in plan.reduced_layers for layer in layers) for layers in plan.spaces)
    return sizes + [plan.spec.n_components or result.n_train] * n_together


def similarity_key(result: Result) -> str:
    """Key of RSA and CKA in the Store: a digest of the fit, which covers features, rows and responses, ROI masks, and stimuli of rows."""
    plan = result.plan
    columns = ((f"{hemi} {roi}", result.columns(roi, hemi)) for hemi in plan.hemis for roi in result.selected_rois)
    reads = reads_digest(columns, (plan.subject.stimulus_of_row[fold.test] for fold in plan.folds))
    return digest("similarity", SIMILARITY_VERSION, fit=result.key, reads=reads, most=MOST_STIMULI)


def stored_similarity(result: Result) -> Similarity | None:
    """Read RSA and CKA from the Store; None where they were not computed."""
    arrays = result.derived(similarity_key(result))
    return None if arrays is None else _read(result, arrays)


def similarity(result: Result, report: Report = silent, device: str = "auto") -> Similarity:
    """Compare each layer of a fit with the responses of each ROI by RSA and linear CKA; kept in the Store.

    Raises
    ------
    CannotCompare as :func:`refusal`.

    Notes
    -----
    Test stimuli only, the rows of a stimulus averaged, up to :data:`MOST_STIMULI` of each fold, and the mean over folds, so that the
    numbers stand beside the fit's scores. Distances are 1 less Pearson's correlation of two stimuli's patterns, over features and over
    vertices. The ceiling of RSA takes each presentation for a subject (:func:`encoding.evaluation.representations.rsa_ceiling`). Of layers
    that were reduced in the pass, components stand for the features.
    """
    if why := refusal(result):
        raise CannotCompare(why)

    @result.store.in_use(result.plan.stage_keys)
    def make() -> dict[str, np.ndarray]:
        names = ensure_features(result, subprogress(report, 0, 0.2), device)
        folds = [
            _compare_fold(result, number, names, subprogress(report, 0.2 + 0.8 * number / n, 0.2 + 0.8 * (number + 1) / n))
            for n in [len(result.plan.folds)]
            for number in range(n)
        ]
        result.plan.check_unchanged(result.store)
        counts = {name: np.array(min(int(fold[name]) for fold in folds)) for name in ("n_stimuli", "n_repeats")}
        means = {name: np.mean([fold[name] for fold in folds], axis=0) for name in folds[0] if name not in counts}
        return counts | means | {"spaces": np.array(names)}

    key = similarity_key(result)
    return _read(result, result.store.memo(key, make, result.plan.made_from(fit=result.key)))


def _read(result: Result, arrays: Mapping[str, np.ndarray]) -> Similarity:
    values = {(hemi, name): np.asarray(arrays[f"{hemi}_{name}"]) for hemi in result.plan.hemis for name in (*MEASURES, *BOUNDS)}
    return Similarity(result, tuple(map(str, arrays["spaces"])), int(arrays["n_stimuli"]), int(arrays["n_repeats"]), values)


def ensure_features(result: Result, report: Report, device: str) -> list[str]:
    """Extract features that are no longer stored, and name the feature spaces."""
    plan = result.plan
    extract_features(plan, result.store, report, choose_device(device))
    together = [layers for layers in plan.spaces if any(layer in plan.reduced_layers for layer in layers)]
    apart = [layer for layers in plan.spaces if layers not in together for layer in layers]
    return [*apart, *(" + ".join(layers) for layers in together)]


def products_of(result: Result, number: int, space: str, rows: np.ndarray) -> InnerProducts:
    """Inner products of some stimuli's features."""
    plan = result.plan
    if space in plan.spec.layers and space not in plan.reduced_layers:
        X = features.load(plan.feature_keys[space], result.store)
    else:
        layers = next(layers for layers in plan.spaces if " + ".join(layers) == space)
        X = result.store.get(plan.components_key(plan.folds[number], layers))["scores"]
    step = max(1, BLOCK_VALUES // len(rows))
    starts = range(0, X.shape[1], step)
    return InnerProducts.of(np.asarray(X[rows, start : start + step], np.float32) for start in starts)


def responses_of(result: Result, hemi: str, columns: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Responses (n_rows, n_columns) float64, a block of columns at a time."""
    step = max(1, BLOCK_VALUES // (2 * len(rows)))
    for start in range(0, len(columns), step):
        yield np.asarray(read_block(result.plan.subject.responses[hemi], rows, columns[start : start + step]), np.float64)


def thinned(stimuli: np.ndarray) -> np.ndarray:
    """At most :data:`MOST_STIMULI` of some stimuli, evenly spaced."""
    if len(stimuli) <= MOST_STIMULI:
        return stimuli
    return stimuli[np.linspace(0, len(stimuli) - 1, MOST_STIMULI).round().astype(int)]


def _compare_fold(result: Result, number: int, names: list[str], report: Report) -> dict[str, np.ndarray]:
    """Measures of one fold: ``<hemi>_<measure>``, and counts."""
    plan, fold = result.plan, result.plan.folds[number]
    rows = _rows_of(fold, plan.subject.stimulus_of_row)
    stimuli = plan.subject.stimulus_of_row[rows]
    _, first = np.unique(stimuli, return_index=True)
    first = np.sort(first)  # in the order of mean_of_repeats
    presentations = presentations_of(stimuli, stimuli[first])
    n_repeats = len(presentations)
    repeated = np.flatnonzero(np.isin(stimuli[first], stimuli[presentations[0]])) if n_repeats else np.zeros(0, int)
    models = []
    for at, space in enumerate(names):
        report(0.5 * at / len(names), f"distances of {space}")
        models.append(products_of(result, number, space, rows[first]))
    distances = [model.distances() for model in models]
    ranks = [ranks_of(each) for each in distances]
    ranks_of_repeated = [ranks_of(model.some(repeated).distances()) for model in models] if n_repeats else []
    rois, arrays = result.selected_rois, {"n_stimuli": np.array(len(first)), "n_repeats": np.array(n_repeats)}
    for hemi in plan.hemis:
        arrays |= {f"{hemi}_{name}": np.full((len(names), len(rois)), np.nan) for name in MEASURES}
        arrays |= {f"{hemi}_{name}": np.full(len(rois), np.nan) for name in BOUNDS}
    for place, (hemi, roi) in enumerate((hemi, roi) for hemi in plan.hemis for roi in rois):
        report(0.5 + 0.5 * place / (len(rois) * len(plan.hemis)), f"comparing with {roi} {hemi}")
        columns, at = result.columns(roi, hemi), rois.index(roi)
        if len(columns) < FEWEST_VERTICES or len(first) < FEWEST_STIMULI:
            continue
        brain = InnerProducts.of(mean_of_repeats(block, stimuli) for block in responses_of(result, hemi, columns, rows))
        measured = brain.distances()
        measured_ranks = ranks_of(measured)
        for space, model in enumerate(models):
            arrays[f"{hemi}_rsa"][space, at] = correlation_of_ranks(ranks[space], measured_ranks)
            arrays[f"{hemi}_rsa_tau"][space, at] = rank_correlation(distances[space], measured, "tau-a")
            arrays[f"{hemi}_cka"][space, at] = linear_cka(model, brain)
            arrays[f"{hemi}_cka_debiased"][space, at] = linear_cka(model, brain, debiased=True)
        if n_repeats:
            each = np.stack([InnerProducts.of(responses_of(result, hemi, columns, rows[some])).distances() for some in presentations])
            arrays[f"{hemi}_ceiling_low"][at], arrays[f"{hemi}_ceiling_high"][at] = rsa_ceiling(each)
            ranks_of_each = ranks_of(each)
            for space, own in enumerate(ranks_of_repeated):
                arrays[f"{hemi}_rsa_repeats"][space, at] = np.mean([correlation_of_ranks(own, one) for one in ranks_of_each])
    return arrays


def _rows_of(fold: Fold, stimulus_of_row: np.ndarray) -> np.ndarray:
    """Test rows of the compared stimuli of a fold."""
    stimuli = stimulus_of_row[fold.test]
    _, first = np.unique(stimuli, return_index=True)
    return fold.test[np.isin(stimuli, thinned(stimuli[np.sort(first)]))]


def presentations_of(stimuli: np.ndarray, order: np.ndarray) -> list[np.ndarray]:
    """Rows of the first, second … presentation of every stimulus that was shown at least twice, as often as all of them were.

    Parameters
    ----------
    stimuli : (n_rows,) int. order : its different values, in the order of the result.

    Returns
    -------
    (n_repeated,) row numbers for each presentation; empty where fewer than :data:`FEWEST_STIMULI` stimuli are repeated.
    """
    keys, counts = np.unique(stimuli, return_counts=True)
    rows_of = dict(zip(keys, np.split(np.argsort(stimuli, kind="stable"), np.cumsum(counts)[:-1]), strict=True))
    repeated = [rows_of[stimulus] for stimulus in order if len(rows_of[stimulus]) > 1]
    if len(repeated) < FEWEST_STIMULI:
        return []
    return [np.array([rows[at] for rows in repeated]) for at in range(min(map(len, repeated)))]
