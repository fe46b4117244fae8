"""Spectra of principal components of responses and features: how their variance is spread over dimensions.

References
----------
Stringer et al. (2019), High-dimensional geometry of population responses in visual cortex.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoding.analysis.similarity import (
    MOST_STIMULI,
    PRODUCTS_PER_SECOND,
    CannotCompare,
    ensure_features,
    extraction_seconds,
    n_features_of,
    presentations_of,
    products_of,
    refusal,
    responses_of,
    thinned,
)
from encoding.evaluation.representations import InnerProducts, power_law, shared_spectrum
from encoding.fits.digests import reads_digest
from encoding.fits.result import Result
from encoding.runtime.progress import Report, silent, subprogress
from encoding.storage.keys import digest

if TYPE_CHECKING:
    import pandas as pd

SPECTRUM_VERSION = 2  # inner products about the columns' means
FIRST_RANK, LAST_RANK = 11, 500  # between which Stringer et al. fit the power law
EIGENVECTOR_SECONDS = 3e-9  # of all of a matrix, over the cube of its size


@dataclass(frozen=True)
class Spectrum:
    """Variance along principal components of the responses of an ROI and of the features of the same stimuli.

    Attributes
    ----------
    roi : its name. n_stimuli, n_vertices : compared.
    responses : (n_stimuli - 1,) float64, cross-validated over two presentations of each stimulus; empty where none is repeated.
    features : name of each feature space to (n_stimuli - 1,), plain, as features have no noise.
    """

    roi: str
    n_stimuli: int
    n_vertices: int
    responses: np.ndarray
    features: Mapping[str, np.ndarray]

    def exponents(self) -> dict[str, float]:
        """Exponent of the power law from rank 11 to 500 or a quarter of the stimuli, of ``responses`` and each feature space; NaN if none.

        Ends before the first variance that is not above 0.
        """
        found = {}
        for name, values in ({"responses": self.responses} | dict(self.features)).items():
            ends = np.flatnonzero(~(values > 0))
            last = min(LAST_RANK, self.n_stimuli // 4, int(ends[0]) if len(ends) else len(values))
            found[name] = power_law(values, FIRST_RANK, last)
        return found

    def table(self) -> pd.DataFrame:
        """Tabulate: rank from 1, then the share of variance of ``responses`` (where known) and of each feature space."""
        import pandas as pd

        columns = {"responses": self.responses} if len(self.responses) else {}
        columns |= dict(self.features)
        shares = {name: values / values.sum() if values.sum() > 0 else np.full(len(values), np.nan) for name, values in columns.items()}
        return pd.DataFrame({"rank": np.arange(1, self.n_stimuli)} | shares)


def spectrum_seconds(result: Result, roi: str) -> float:
    """Rough duration of :func:`spectrum` in seconds, with the passes through the network where features are no longer stored."""
    n_features, n_rows = n_features_of(result), result.plan.subject.n_stimuli
    n = min(MOST_STIMULI, len(np.unique(result.plan.subject.stimulus_of_row)))
    n_vertices = sum(len(result.columns(roi, hemi)) for hemi in result.plan.hemis)
    n_draws = len(n_features) + (10 if n < n_rows else 0)  # of the responses, where stimuli are repeated
    products = n**2 * (sum(n_features) + 4 * n_vertices) / PRODUCTS_PER_SECOND
    return 1.0 + extraction_seconds(result) + products + n_draws * n**3 * EIGENVECTOR_SECONDS


def spectrum(result: Result, roi: str = "all", report: Report = silent, device: str = "auto") -> Spectrum:
    """Compute the spectrum of an ROI's responses over both hemispheres, and of the features of the same stimuli; kept in the Store.

    Stimuli are those shown twice or more, in training and test rows alike, as nothing is fitted to them; without repeats, all stimuli, and
    then the responses have no spectrum. Up to :data:`MOST_STIMULI`, evenly spaced.

    Raises
    ------
    CannotCompare as :func:`refusal`, and for an ROI without vertices.
    """
    plan, store = result.plan, result.store
    if why := refusal(result):
        raise CannotCompare(why)
    columns = {hemi: result.columns(roi, hemi) for hemi in plan.hemis}
    if not sum(map(len, columns.values())):
        raise CannotCompare(f"{roi} has no {plan.subject.unit} in this fit.")
    stimuli = plan.subject.stimulus_of_row

    @store.in_use(plan.stage_keys)
    def make() -> dict[str, np.ndarray]:
        names = ensure_features(result, subprogress(report, 0, 0.3), device)
        first = np.sort(np.unique(stimuli, return_index=True)[1])
        pairs = presentations_of(stimuli, stimuli[first])[:2]
        rows = [thinned(each) for each in pairs or [first]]
        arrays = {"spaces": np.array(names), "responses": np.zeros(0)}
        report(0.3, f"spectrum of {roi}")
        if pairs:
            both = np.concatenate(rows)
            blocks = (block for hemi, each in columns.items() for block in responses_of(result, hemi, each, both))
            arrays["responses"] = shared_spectrum(InnerProducts.of(blocks).products)
        for number, space in enumerate(names):
            report(0.5 + 0.5 * number / len(names), f"spectrum of {space}")
            products = products_of(result, 0, space, rows[0]).products
            arrays[f"features_{number}"] = shared_spectrum(np.tile(products, (2, 2)), n_draws=1)
        plan.check_unchanged(store)
        return arrays

    return _read(result, roi, store.memo(spectrum_key(result, roi), make, plan.made_from(fit=result.key)))


def spectrum_key(result: Result, roi: str) -> str:
    """Key of an ROI's spectrum in the Store: a digest of the fit, the ROI's columns and which rows repeat a stimulus."""
    columns = ((hemi, result.columns(roi, hemi)) for hemi in result.plan.hemis)
    reads = reads_digest(columns, [result.plan.subject.stimulus_of_row])
    return digest("spectrum", SPECTRUM_VERSION, fit=result.key, reads=reads, most=MOST_STIMULI)


def stored_spectrum(result: Result, roi: str) -> Spectrum | None:
    """Read a spectrum from the Store; None where it was not computed."""
    arrays = result.derived(spectrum_key(result, roi))
    return None if arrays is None else _read(result, roi, arrays)


def _read(result: Result, roi: str, arrays: Mapping[str, np.ndarray]) -> Spectrum:
    found = {str(name): np.asarray(arrays[f"features_{number}"]) for number, name in enumerate(arrays["spaces"])}
    n_stimuli = len(next(iter(found.values()))) + 1
    return Spectrum(
        roi, n_stimuli, sum(len(result.columns(roi, hemi)) for hemi in result.plan.hemis), np.asarray(arrays["responses"]), found
    )
