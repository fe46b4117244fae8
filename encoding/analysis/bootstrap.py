"""How sure the mean correlation of an ROI is: bootstrap over test images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from encoding.evaluation.scores import bootstrap_means
from encoding.fits.result import Result
from encoding.runtime.progress import Report, silent
from encoding.storage.keys import digest

INTERVALS_VERSION = 1
N_RESAMPLES = 500
SEED = 0


def roi_intervals(result: Result, report: Report = silent) -> dict[str, np.ndarray]:
    """Ends of the 95 % interval of the mean r of every ROI that a fit reports, kept in the Store.

    Returns
    -------
    ``rois`` (n_rois,) str, ``<hemi>_low`` and ``<hemi>_high`` (n_rois,), and ``<hemi>_draws`` (n_resamples, n_rois), the
    means whose percentiles they are. All hemispheres and ROIs share each draw of test images, so the
    difference between two ROIs may be judged from the draws. NaN for an empty ROI.
    """
    rois = result.selected_rois

    def make() -> dict[str, np.ndarray]:
        arrays = {"rois": np.array(rois)}
        for number, hemi in enumerate(result.plan.hemis):
            report(number / len(result.plan.hemis), f"bootstrap over test images: {hemi}")
            columns = np.arange(result.plan.subject.responses[hemi].shape[1])
            groups = {roi: result.columns(roi, hemi) for roi in rois}
            means = bootstrap_means(
                result.predicted(hemi, columns), result.measured(hemi, columns), groups, n_resamples=N_RESAMPLES, seed=SEED
            )
            draws = np.stack([means[roi] for roi in rois], axis=1)
            low, high = np.percentile(draws, [2.5, 97.5], axis=0)
            arrays |= {f"{hemi}_low": low, f"{hemi}_high": high, f"{hemi}_draws": draws}
        return arrays

    return result.store.memo(intervals_key(result), make, result.plan.made_from(fit=result.key))


def intervals_key(result: Result) -> str:
    """The name of a fit's intervals in the Store."""
    return digest("intervals", INTERVALS_VERSION, fit=result.key, rois=list(result.selected_rois), n=N_RESAMPLES, seed=SEED)


def intervals_of(result: Result) -> Mapping[str, np.ndarray] | None:
    """The bootstrap intervals and draws of a fit's ROIs; None where they were not computed, or for an imported fit not sent along."""
    found = result.derived(intervals_key(result))
    usable = found is not None and len(found[f"{result.plan.hemis[0]}_draws"]) == N_RESAMPLES
    return found if usable else None
