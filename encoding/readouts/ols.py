"""Ordinary least squares: the fit with no penalty."""

from __future__ import annotations

import numpy as np

from encoding.readouts import READOUTS, LinearModel, Options, Readout
from encoding.readouts._moments import Moments, centred
from encoding.readouts.ridge import optimality
from encoding.runtime.progress import Report, silent


class OLS(Readout):
    """Least-squares weights, of minimum norm where they are not unique (as ``numpy.linalg.lstsq``).

    ``details`` holds ``kkt`` (t,), the optimality residual of :func:`encoding.readouts.ridge.optimality`.
    """

    name, title, version = "ols", "Ordinary least squares", 2
    about = "No penalty: fine with many more images than components, noisy otherwise."

    def fit(self, moments: Moments, options: Options, *, device: str = "cpu", report: Report = silent) -> LinearModel:
        import torch

        train = centred(moments, np.arange(moments.n_folds), device=device)
        weights = torch.linalg.pinv(train.xx, rcond=1e-12, hermitian=True) @ train.xy.double()
        intercept = train.mean_y - train.mean_x @ weights
        kkt = {"kkt": optimality(train, weights, 0.0).cpu().numpy()}
        return LinearModel(weights.to(train.xy.dtype).cpu().numpy(), intercept.cpu().numpy() + moments.shift, kkt)


READOUTS.register("ols", OLS())
