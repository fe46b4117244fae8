"""Lesson: pitfalls of evaluation that give a high score without signal: leakage, circular selection, multiple comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from encoding.evaluation.scores import pearson
from encoding.evaluation.splits import Fold
from encoding.features.pca import fit_components
from encoding.lessons._linear import standardised
from encoding.readouts import ridge
from encoding.readouts._moments import Moments

N_TRAIN, N_TEST = 60, 40  # images of each split of the leak: few, as in many real experiments
N_COMPONENTS = 30
N_CHOSEN = 20  # features chosen for each vertex
N_SPLITS = 6
N_INNER = 5
RELATIVE_ALPHAS = np.logspace(-3, 3, 9)  # of the mean eigenvalue of X'X

WAYS = ("honest", "components", "alpha", "chosen honestly", "chosen with the test")


@dataclass(frozen=True)
class Leak:
    """r of every vertex for each random split and each of :data:`WAYS`, (n_splits, n_ways, t) float64.

    ``honest`` fits scaler, PCA and penalty on training images. ``components`` fits scaler and PCA on test images, too. ``alpha``
    takes for each vertex the penalty that does best on the test images. ``chosen honestly`` takes for each vertex the features that
    correlate most with it on training images, ``chosen with the test`` those on all images; weights are always of training images.
    """

    r: np.ndarray

    def means(self, columns: slice | np.ndarray = slice(None)) -> np.ndarray:
        """(n_splits, n_ways) over some of the vertices."""
        return self.r[:, :, columns].mean(2)


def leak(features: np.ndarray, Y: np.ndarray, *, seed: int = 0) -> Leak:
    """Score each way of evaluating on random splits of few images.

    Parameters
    ----------
    features : (n, p), many more features than images. Y : (n, t) responses, or noise. No vertex has to do with another.
    """
    rng = np.random.default_rng(seed)
    fold = Fold(np.arange(N_TRAIN), np.arange(N_TRAIN, N_TRAIN + N_TEST))
    drawn = [rng.choice(len(features), N_TRAIN + N_TEST, replace=False) for _ in range(N_SPLITS)]
    return Leak(np.array([_every_way(np.asarray(features[rows], np.float64), np.asarray(Y[rows], np.float64), fold) for rows in drawn]))


def _every_way(X: np.ndarray, Y: np.ndarray, fold: Fold) -> np.ndarray:
    """(n_ways, t)"""
    everything, every = np.arange(len(X)), np.arange(Y.shape[1])
    known, seen = standardised(X, fold.train), standardised(X, everything)
    honest, components = _components(known, fold.train), _components(seen, everything)
    (scored, best), (leaked, leaked_best) = (_along_path(Z, Y, fold) for Z in (honest, components))
    return np.array(
        [
            scored[best, every],
            leaked[leaked_best, every],
            scored.max(0),
            _chosen(known, known, Y, fold, fold.train),
            _chosen(seen, known, Y, fold, everything),
        ]
    )


def _components(scaled: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """PCA fitted on some rows. -> (n, N_COMPONENTS) float64"""
    return fit_components([scaled.astype(np.float32)], rows, N_COMPONENTS).scores.astype(np.float64)


def _along_path(X: np.ndarray, Y: np.ndarray, fold: Fold) -> tuple[np.ndarray, np.ndarray]:
    """Ridge for each of :data:`RELATIVE_ALPHAS`: r on the test images (n_alphas, t), and the penalty that cross-validation within the
    training images chooses for each target, as its position (t,)."""
    moments = Moments.of(X, Y, np.arange(len(fold.train)) % N_INNER, rows=fold.train)
    alphas = RELATIVE_ALPHAS * ((X[fold.train] - X[fold.train].mean(0)) ** 2).sum() / X.shape[1]
    r = []
    for alpha in alphas:
        weights, intercept, _ = ridge.solve(moments, np.full(Y.shape[1], alpha))
        r.append(pearson(X[fold.test] @ weights + intercept, Y[fold.test]))
    return np.array(r), np.searchsorted(alphas, ridge.choose_alpha(moments, alphas)[0])


def _chosen(scaled: np.ndarray, Z: np.ndarray, Y: np.ndarray, fold: Fold, rows: np.ndarray) -> np.ndarray:
    """r on the test images of ridge on the features that correlate most with each vertex over ``rows``. -> (t,)

    ``scaled`` (n, p) are the features standardised over ``rows``, Z (n, p) those standardised over training rows, which are fitted. The
    penalty is the mean eigenvalue of X'X.
    """
    strength = np.abs(scaled[rows].T @ standardised(Y, rows)[rows])  # (p, t)
    best = np.argpartition(-strength, N_CHOSEN, axis=0)[:N_CHOSEN].T  # (t, N_CHOSEN)
    train, test = (np.moveaxis(Z[part][:, best], 1, 0) for part in (fold.train, fold.test))  # (t, n, N_CHOSEN)
    products = train.transpose(0, 2, 1) @ train
    alpha = np.trace(products, axis1=1, axis2=2)[:, None, None] / N_CHOSEN
    y = (Y[fold.train] - Y[fold.train].mean(0)).T[:, :, None]  # (t, n_train, 1)
    weights = np.linalg.solve(products + alpha * np.eye(N_CHOSEN), train.transpose(0, 2, 1) @ y)
    return pearson((test @ weights)[:, :, 0].T, Y[fold.test])


@dataclass(frozen=True)
class Circle:
    """Scores of vertices on the images used for selection and on independent images.

    Attributes
    ----------
    first, second : (t,) r on the selection images and on the others.
    chosen : (n_chosen,) columns of the highest ``first``, in descending order.
    """

    first: np.ndarray
    second: np.ndarray
    chosen: np.ndarray


def circle(predicted: np.ndarray, measured: np.ndarray, *, n_chosen: int) -> Circle:
    """Select the best predicted vertices on every other image, and score all on these and on the rest; both inputs are (n_test, t)."""
    first, second = (pearson(predicted[start::2], measured[start::2]) for start in (0, 1))
    return Circle(first, second, np.argsort(-first, kind="stable")[:n_chosen])


def p_values(r: np.ndarray, n: int) -> np.ndarray:
    """One-sided p, (t,), of Pearson's r over n images under the null hypothesis of no correlation.

    Student's t with n - 2 degrees of freedom, exact for normal noise.
    """
    from scipy.stats import t

    r = np.clip(r, -1 + 1e-12, 1 - 1e-12)
    return t.sf(r * np.sqrt((n - 2) / (1 - r**2)), n - 2)


def findings(p: np.ndarray, *, level: float = 0.05) -> Mapping[str, int]:
    """Count significant tests among p (t,): uncorrected, by Bonferroni, and at a false discovery rate (Benjamini & Hochberg 1995)."""
    from scipy.stats import false_discovery_control

    return {
        "each for itself": int((p < level).sum()),
        "Bonferroni": int((p < level / len(p)).sum()),
        "false discovery rate": int((false_discovery_control(p) <= level).sum()),
    }
