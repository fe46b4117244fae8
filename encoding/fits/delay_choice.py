"""Choose among several sets of delays on held-out runs of the training rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from encoding.evaluation.splits import Fold
from encoding.features.delays import N_FOLDS, design_columns
from encoding.fits.plan import Plan
from encoding.readouts import ridge
from encoding.readouts._banded import held_out_r
from encoding.readouts._moments import Moments
from encoding.storage.store import Arrays


def choose_delays(plan: Plan, fold: Fold, scores: Sequence[np.ndarray], device: str) -> Arrays:
    """Choose the set of delays of the highest r of ridge on held-out runs of the training rows, the mean over all vertices that vary.

    Parameters
    ----------
    scores : (n_stimuli, k_i) component scores of each of the plan's spaces.

    Returns
    -------
    ``chosen``, the number of the set in :attr:`Plan.delay_sets`, and ``r`` (n_sets,), what each gave.
    """
    r, inner = [], plan.inner(fold, N_FOLDS)
    for delays in plan.delay_sets:
        Z = design_columns(scores, degree=plan.spec.degree, delays=delays, runs=plan.subject.runs)
        held_out = []
        for hemi in plan.hemis:
            sums = Moments.of(Z, plan.subject.responses[hemi], inner, rows=fold.train, device=device)
            held_out.append(held_out_r(sums, ridge.penalties(sums, ridge.RidgeOptions()), device=device))
        r.append(np.nanmean(np.concatenate(held_out)))
    return {"chosen": np.array(int(np.argmax(r))), "r": np.array(r)}
