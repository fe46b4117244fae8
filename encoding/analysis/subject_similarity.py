"""RSA over subjects: layers and several subjects' regions on the stimuli that all saw, with the noise ceiling over subjects."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from encoding.analysis.group import NotAGroup, check_group, subject_name
from encoding.analysis.similarity import (
    BLOCK_VALUES,
    FEWEST_VERTICES,
    MOST_STIMULI,
    ensure_features,
    products_of,
    refusal,
    responses_of,
)
from encoding.evaluation.representations import FEWEST_STIMULI, InnerProducts, correlation_of_ranks, ranks_of, rsa_ceiling
from encoding.evaluation.splits import mean_of_repeats
from encoding.features import extraction as features
from encoding.fits.result import Result
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.keys import digest

if TYPE_CHECKING:
    import pandas as pd

VERSION = 2  # inner products about the columns' means
N_PROJECTIONS = 16  # random directions in which features of equal stimuli are recognised
COLUMNS = ("roi", "hemi", "space", "n_subjects", "rsa_subjects", "ceiling_low", "ceiling_high")  # that are stored
CLOSE = 1e-4  # of the spread of the features, within which two stimuli are one


def shared_refusal(results: Sequence[Result]) -> str:
    """Explain in a sentence why fits cannot be compared over subjects; empty where they can."""
    for result in results:
        if why := refusal(result):
            return why
    if len({(result.plan.spec.backbone, result.plan.spec.weights, result.plan.spec.layers) for result in results}) > 1:
        return "RSA over subjects needs fits of the same network and layers."
    if all(layer in results[0].plan.reduced_layers for layer in results[0].plan.spec.layers):
        return "Every layer was reduced in the pass, so the stimuli that subjects share cannot be recognised by their features."
    return ""


def subject_similarity(results: Sequence[Result], report: Report = silent, device: str = "auto") -> pd.DataFrame:
    """Compare layers with the regions of several subjects by RSA, with the noise ceiling over subjects; kept in the Store.

    Parameters
    ----------
    results : fits of the same network and layers, one of each subject, two or more.

    Returns
    -------
    Columns: roi, hemi, space; n_subjects that have the ROI, and n_stimuli that all of the fits' subjects saw; rsa_subjects, the mean over
    subjects of Spearman's correlation of the layer's distances with the subject's; ceiling_low and ceiling_high, the bounds of that
    (:func:`encoding.evaluation.representations.rsa_ceiling`: each subject with the mean ranks of the others, and of all). NaN where fewer
    than two subjects have the ROI.

    Raises
    ------
    NotAGroup as :func:`shared_refusal`, and where subjects share fewer than 4 stimuli.

    Notes
    -----
    Stimuli are of training and test rows alike, as nothing is fitted to them, repeats averaged, at most :data:`MOST_STIMULI`, evenly
    spaced. Two subjects' stimuli are one where their features are, to 1e-4 of the features' spread.

    References
    ----------
    Nili et al. (2014), A toolbox for representational similarity analysis.
    """
    check_group(results)
    if why := shared_refusal(results):
        raise NotAGroup(why)

    @results[0].store.in_use([key for result in results for key in result.plan.stage_keys])
    def make() -> dict[str, np.ndarray]:
        for number, result in enumerate(results):
            names = ensure_features(result, subprogress(report, 0.3 * number / len(results), 0.3 * (number + 1) / len(results)), device)
        report(0.3, "stimuli that subjects share")
        rows = _shared_rows(results)
        if len(rows[0]) < FEWEST_STIMULI:
            raise NotAGroup(f"{', '.join(map(subject_name, results))} share {len(rows[0])} stimuli; RSA needs {FEWEST_STIMULI} at least.")
        models = [ranks_of(products_of(results[0], 0, name, rows[0]).distances()) for name in names]
        found: dict[str, list] = {name: [] for name in COLUMNS}
        places = _places(results)
        for at, (roi, hemi) in enumerate(places):
            report(0.4 + 0.6 * at / len(places), f"comparing with {roi} {hemi}")
            pairs = list(zip(results, rows, strict=True))
            having = [(result, some) for result, some in pairs if len(_columns(result, roi, hemi)) >= FEWEST_VERTICES]
            each = np.stack([_distances(result, roi, hemi, some) for result, some in having]) if len(having) > 1 else None
            low, high = (np.nan, np.nan) if each is None else rsa_ceiling(each)
            ranks = None if each is None else ranks_of(each)
            for name, model in zip(names, models, strict=True):
                rsa = np.nan if ranks is None else float(np.mean([correlation_of_ranks(model, one) for one in ranks]))
                for column, value in zip(found, (roi, hemi, name, len(having), rsa, low, high), strict=True):
                    found[column].append(value)
        for result in results:
            result.plan.check_unchanged(result.store)
        return {name: np.array(values) for name, values in found.items()} | {"n_stimuli": np.array(len(rows[0]))}

    made_from = results[0].plan.made_from(**{f"fit_{number}": result.key for number, result in enumerate(results)})
    return _table(results[0].store.memo(subject_similarity_key(results), make, made_from))


def subject_similarity_key(results: Sequence[Result]) -> str:
    """Key in the Store: the fits, their ROI masks, and which rows repeat a stimulus."""
    read = hashlib.sha256()
    for result in results:
        for roi, hemi in _places([result]):
            read.update(f"{hemi} {roi};".encode() + np.ascontiguousarray(result.columns(roi, hemi), "<i8").tobytes())
        read.update(np.unique(result.plan.subject.stimulus_of_row, return_inverse=True)[1].astype("<i8").tobytes())
    return digest("subject_similarity", VERSION, fits=[result.key for result in results], reads=read.hexdigest(), most=MOST_STIMULI)


def stored_subject_similarity(results: Sequence[Result]) -> pd.DataFrame | None:
    """Read :func:`subject_similarity` from the Store; None where it was not computed."""
    arrays = results[0].derived(subject_similarity_key(results))
    return None if arrays is None else _table(arrays)


def _table(arrays: Mapping[str, np.ndarray]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame({name: np.asarray(arrays[name]) for name in COLUMNS})
    table.insert(4, "n_stimuli", int(arrays["n_stimuli"]))
    return table.astype(dict.fromkeys(("roi", "hemi", "space"), str))


def _places(results: Sequence[Result]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((roi, hemi) for result in results for roi in result.selected_rois for hemi in result.plan.hemis))


def _columns(result: Result, roi: str, hemi: str) -> np.ndarray:
    return result.columns(roi, hemi) if hemi in result.plan.hemis and roi in result.selected_rois else np.zeros(0, int)


def _shared_rows(results: Sequence[Result]) -> list[np.ndarray]:
    """First row of each shared stimulus in every subject, (n_shared,) each, in one order."""
    from scipy.spatial import cKDTree

    plan = results[0].plan
    layer = next(layer for layer in plan.spec.layers if layer not in plan.reduced_layers)
    points, first = [], []
    for result in results:
        X = features.load(result.plan.feature_keys[layer], result.store)
        first.append(np.sort(np.unique(result.plan.subject.stimulus_of_row, return_index=True)[1]))
        rng, sums = np.random.default_rng(0), np.zeros((len(first[-1]), N_PROJECTIONS))
        step = max(1, BLOCK_VALUES // len(X))
        for start in range(0, X.shape[1], step):
            block = np.asarray(X[:, start : start + step], np.float64)[first[-1]]
            sums += block @ rng.normal(size=(block.shape[1], N_PROJECTIONS))
        points.append(sums)
    reach = CLOSE * np.sqrt(points[0].var(0).sum())
    matches = [cKDTree(each).query(points[0], distance_upper_bound=reach) for each in points]  # of the first subject, with all
    shared = np.flatnonzero(np.all([np.isfinite(distance) for distance, _ in matches], axis=0))
    if len(shared) > MOST_STIMULI:
        shared = shared[np.linspace(0, len(shared) - 1, MOST_STIMULI).round().astype(int)]
    return [rows[at[shared]] for rows, (_, at) in zip(first, matches, strict=True)]


def _distances(result: Result, roi: str, hemi: str, first: np.ndarray) -> np.ndarray:
    """Distances of some stimuli's responses in a region, repeats averaged."""
    stimuli = result.plan.subject.stimulus_of_row
    rows = np.concatenate([np.flatnonzero(stimuli == stimulus) for stimulus in stimuli[first]])
    blocks = responses_of(result, hemi, result.columns(roi, hemi), rows)
    return InnerProducts.of(mean_of_repeats(block, stimuli[rows]) for block in blocks).distances()
