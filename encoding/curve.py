"""Learning curves over the number of training images: is more data worth it?"""

from __future__ import annotations

import numpy as np

from encoding.moments import Accumulator, Moments, centred
from encoding.pipeline import choose_device, fit
from encoding.plan import Plan
from encoding.progress import Report, portion, silent
from encoding.readouts import LinearModel
from encoding.spec import FitSpec, digest
from encoding.store import Arrays, Store

CURVE_VERSION = 1
N_SIZES = 6
SMALLEST = 40  # training images at the left end of the curve


def learning_curve(spec: FitSpec, store: Store, report: Report = silent, device: str = "auto") -> dict[str, np.ndarray]:
    """Correlations on training and test images of readouts fitted on more and more images, kept in the Store.

    Training images are taken in one random order; each size holds the ones before. Parameters are chosen again
    at each size, on its own folds. Components stay those of all training images, which sets no response aside.
    With a k-fold split the curve is that of the first fold.

    Returns
    -------
    ``sizes`` (s,) int; for each hemisphere ``<hemi>_train`` and ``<hemi>_test`` (s, n_vertices) float32.
    """
    result = fit(spec, store, portion(report, 0, 0.3), device)
    planned, device = result.plan, choose_device(device)
    key = curve_key(planned)

    def make() -> Arrays:
        fold, arrays = planned.folds[0], {"sizes": _sizes(planned)}
        Z = np.array(result.components())
        for number, hemi in enumerate(planned.hemis):
            part = portion(report, 0.3 + 0.7 * number / len(planned.hemis), 0.3 + 0.7 * (number + 1) / len(planned.hemis))
            Y = planned.subject.responses[hemi]
            test = Moments.of(Z, Y, np.zeros(len(fold.test), int), rows=fold.test, device=device)
            arrays |= _grow(planned, hemi, Z, Y, test, arrays["sizes"], part, device)
        return arrays

    return store.memo(key, make, planned.made_from(device=device, fit=planned.key))


def curve_key(planned: Plan) -> str:
    """The name of a fit's learning curve in the Store."""
    return digest("curve", CURVE_VERSION, fit=planned.key)


def _grow(
    planned: Plan, hemi: str, Z: np.ndarray, Y: np.ndarray, test: Moments, sizes: np.ndarray, report: Report, device: str
) -> dict[str, np.ndarray]:
    fold = planned.folds[0]
    order = _shuffled(planned.subject.groups[fold.train])
    inner = planned.inner(fold)
    sums = Accumulator(Z.shape[1], Y.shape[1], int(inner.max()) + 1, dtype=Z.dtype, device=device)
    train_r, test_r = (np.full((len(sizes), Y.shape[1]), np.nan, np.float32) for _ in range(2))
    done = 0
    for step, size in enumerate(sizes):
        report(step / len(sizes), f"learning curve of {hemi}: {size:,} images")
        new = np.sort(order[done:size])
        sums.add(Z, Y, fold.train[new], inner[new])
        so_far, done = sums.moments(), size
        model = planned.readout.fit(so_far, planned.options, device=device)
        train_r[step], test_r[step] = correlation(model, so_far), correlation(model, test)
    return {f"{hemi}_train": train_r, f"{hemi}_test": test_r}


def correlation(model: LinearModel, moments: Moments) -> np.ndarray:
    """Pearson r of a linear model's predictions with the responses of ``moments``, from the sums alone. -> (t,)

    r is 0 where the prediction is constant and NaN where the response is, as in :class:`encoding.scores.Tally`.
    """
    sums = centred(moments, np.arange(moments.n_folds))
    w = model.weights.astype(np.float64)
    cov = (w * sums.xy.numpy()).sum(0)
    var_p, var_m = np.einsum("pt,pt->t", w, sums.xx.numpy() @ w), sums.yy.numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.clip(cov / np.sqrt(var_p * var_m), -1, 1)
    return np.where(var_m <= 0, np.nan, np.where(var_p <= 0, 0, r))


def _sizes(planned: Plan) -> np.ndarray:
    n_train = len(planned.folds[0].train)
    smallest = min(n_train, max(SMALLEST, 4 * planned.readout.n_folds(planned.options)))
    return np.unique(np.geomspace(smallest, n_train, N_SIZES).round().astype(int))


def _shuffled(groups: np.ndarray) -> np.ndarray:
    """Row numbers in random order, repeats of a stimulus side by side."""
    stimuli, member = np.unique(groups, return_inverse=True)
    return np.argsort(np.random.RandomState(1).permutation(len(stimuli))[member], kind="stable")
