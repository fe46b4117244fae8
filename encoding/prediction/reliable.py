"""The columns whose predictions are looked at: those that a fit predicts well enough on test stimuli."""

from __future__ import annotations

import numpy as np

from encoding.fits.result import Result


def reliable_mask(result: Result, least_r: float) -> dict[str, np.ndarray]:
    """Which columns have a test r of at least ``least_r``: fitted hemisphere to (n_columns,) bool.

    Every column of a fit without test stimuli, as nothing says which it predicts well.
    """
    if not result.plan.has_test:
        return {hemi: np.ones(len(result.score(hemi)), bool) for hemi in result.plan.hemis}
    return {hemi: np.nan_to_num(result.score(hemi), nan=-np.inf) >= least_r for hemi in result.plan.hemis}


def reliable(result: Result, least_r: float, *, most: int | None = None) -> dict[str, np.ndarray]:
    """Select the columns of :func:`reliable_mask`.

    Parameters
    ----------
    result : finished fit.
    least_r : lowest test r.
    most : maximum number of columns over all hemispheres; of more, those with the highest r are taken, or random ones of a fit without
        test stimuli. None for no limit.

    Returns
    -------
    Fitted hemisphere to sorted column indices.
    """
    mask = reliable_mask(result, least_r)
    if most is not None and sum(int(chosen.sum()) for chosen in mask.values()) > most:
        rng = np.random.default_rng(0)
        rank = {hemi: result.score(hemi) if result.plan.has_test else rng.random(len(chosen)) for hemi, chosen in mask.items()}
        least = np.sort(np.concatenate([rank[hemi][chosen] for hemi, chosen in mask.items()]))[-most]
        mask = {hemi: chosen & (rank[hemi] >= least) for hemi, chosen in mask.items()}
    return {hemi: np.flatnonzero(chosen) for hemi, chosen in mask.items()}
