"""Compare representations of the same stimuli: RSA, linear CKA, and the cross-validated spectrum of their principal components.

Everything is computed from inner products of stimuli, K = X X' of features or responses X (n, p) about the columns' means, which add over
blocks of columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

CORRELATIONS = ("spearman", "tau-a")
FLAT = 1e-24  # variance over mean square that rounding alone can make in float64
FEWEST_STIMULI = 4  # of which debiased CKA and a rank correlation of distances are defined


@dataclass(frozen=True)
class InnerProducts:
    """Inner products of n stimuli over p columns, about the columns' means m: features far from 0 would lose the digits in which they vary.

    Attributes
    ----------
    products : (n, n) float64, Z Z' of Z = X - m. sums : (n,) float64, of each row of Z. along : (n,) float64, Z m.
    mean_sum, mean_square : sums of m and of its squares. n_columns : p.
    """

    products: np.ndarray
    sums: np.ndarray
    along: np.ndarray
    mean_sum: float
    mean_square: float
    n_columns: int

    @classmethod
    def of(cls, blocks: Iterable[np.ndarray]) -> InnerProducts:
        """Add up blocks of columns (n, b) of X, each computed in the dtype that it comes in."""
        products, sums, along, mean_sum, mean_square, n_columns = 0.0, 0.0, 0.0, 0.0, 0.0, 0
        for block in blocks:
            means = block.mean(0, dtype=np.float64).astype(block.dtype)  # X = Z + m holds of the rounded means, too
            Z, m = block - means, means.astype(np.float64)
            products = products + (Z @ Z.T).astype(np.float64)
            sums, along = sums + Z.sum(1, dtype=np.float64), along + np.einsum("ij,j->i", Z, m)
            mean_sum, mean_square, n_columns = mean_sum + m.sum(), mean_square + m @ m, n_columns + block.shape[1]
        return cls(np.asarray(products), np.asarray(sums), np.asarray(along), float(mean_sum), float(mean_square), n_columns)

    @property
    def varies(self) -> bool:
        """Whether any column differs between stimuli by more than float64 rounds."""
        return bool(np.trace(self.products) > FLAT * len(self.products) * self.mean_square)

    def some(self, rows: np.ndarray) -> InnerProducts:
        """Those of some stimuli, about the same m."""
        return replace(self, products=self.products[np.ix_(rows, rows)], sums=self.sums[rows], along=self.along[rows])

    def distances(self) -> np.ndarray:
        """Representational dissimilarities, 1 less Pearson's correlation of two rows over columns, 0 … 2.

        Returns
        -------
        (n (n - 1) / 2,) float64 in the order of ``scipy.spatial.distance.pdist``; NaN for a row that does not vary over columns.
        """
        means = self.along - self.sums * self.mean_sum / self.n_columns
        of_means = self.mean_square - self.mean_sum**2 / self.n_columns
        covariance = self.products - np.outer(self.sums, self.sums) / self.n_columns + means[:, None] + means + of_means
        variance, squares = np.diagonal(covariance), np.diagonal(self.products)
        rounding = 1e-6 * squares + 1e-12 * self.mean_square  # of products in float32, and of means in float64
        scale = np.sqrt(np.where(variance > rounding, variance, np.nan))
        return 1 - np.clip(covariance / np.outer(scale, scale), -1, 1)[np.triu_indices(len(scale), 1)]


def linear_cka(one: InnerProducts, other: InnerProducts, *, debiased: bool = False) -> float:
    """Centred kernel alignment with linear kernels, of one and another representation of the same stimuli.

    ``HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L))`` of K = X X' and L = Y Y', which is ``|X'Y|² / (|X'X| |Y'Y|)`` about the columns' means
    (Frobenius norms): 0 … 1. It grows with the number of columns over the number of stimuli, also of noise. ``debiased`` takes the
    unbiased estimator of HSIC, which is about 0 for unrelated representations and may be negative.

    References
    ----------
    Kornblith, Norouzi, Lee & Hinton (2019), Similarity of neural network representations revisited. Song et al. (2012), Feature selection
    via dependence maximization, equation 5 (unbiased HSIC).

    Returns
    -------
    NaN where a representation does not vary, or there are fewer than :data:`FEWEST_STIMULI` stimuli.
    """
    hsic = _unbiased_hsic if debiased else _hsic
    K, L = one.products, other.products
    if len(K) < FEWEST_STIMULI or not (one.varies and other.varies):
        return float("nan")
    own = hsic(K, K) * hsic(L, L)
    tiny = 1e-20 * np.square(np.trace(K) * np.trace(L))
    return float(hsic(K, L) / np.sqrt(own)) if own > tiny else float("nan")


def _hsic(K: np.ndarray, L: np.ndarray) -> float:
    """tr(H K H L), H the centring matrix."""
    return float((_centred(K) * L).sum())


def _unbiased_hsic(K: np.ndarray, L: np.ndarray) -> float:
    n = len(K)
    K, L = K - np.diag(np.diagonal(K)), L - np.diag(np.diagonal(L))
    k, l_ = K.sum(0), L.sum(0)
    return float(((K * L).sum() + k.sum() * l_.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k @ l_)) / (n * (n - 3)))


def ranks_of(distances: np.ndarray) -> np.ndarray:
    """Rank distances (..., m) among those of their row, ties by their mean rank: float64 of that shape, NaN where a distance is."""
    from scipy.stats import rankdata

    return rankdata(distances, axis=-1) + 0 * distances


def correlation_of_ranks(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's correlation of two vectors of distances (m,) that :func:`ranks_of` has ranked; NaN as :func:`rank_correlation`."""
    if not (np.isfinite(one).all() and np.isfinite(other).all()) or len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    one, other = one - one.mean(), other - other.mean()
    return float(np.clip(one @ other / np.sqrt((one @ one) * (other @ other)), -1, 1))


def rank_correlation(one: np.ndarray, other: np.ndarray, method: str = "spearman") -> float:
    """Correlate two vectors of distances by their ranks.

    Parameters
    ----------
    one, other : (m,).
    method : ``spearman``, Pearson's r of average ranks; ``tau-a``, Kendall's: concordant less discordant pairs over all pairs, which does
        not favour models with tied predictions (Nili et al. 2014).

    Returns
    -------
    -1 … 1; NaN where either holds a NaN or does not vary.
    """
    from scipy.stats import kendalltau

    if method == "spearman":
        return correlation_of_ranks(ranks_of(one), ranks_of(other))
    if not (np.isfinite(one).all() and np.isfinite(other).all()) or len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    total = len(one) * (len(one) - 1) / 2
    untied = [total - (count * (count - 1) / 2).sum() for count in (np.unique(each, return_counts=True)[1] for each in (one, other))]
    return float(kendalltau(one, other).statistic * np.sqrt(untied[0] * untied[1]) / total)  # tau-b divides by the root of the untied


def rsa_ceiling(distances: np.ndarray, method: str = "spearman") -> tuple[float, float]:
    """Bounds of the mean correlation that any model can reach with the distances of several subjects (or repeats).

    Parameters
    ----------
    distances : (n_subjects, m), two or more subjects.
    method : one of :data:`CORRELATIONS`.

    Returns
    -------
    lower : mean correlation of each subject's distances with the mean ranks of the others.
    upper : with the mean ranks of all subjects, its own included; for tau-a the mean ranks are an approximation of the best model.

    References
    ----------
    Nili et al. (2014), A toolbox for representational similarity analysis.
    """
    ranks = ranks_of(distances)
    total = ranks.sum(0)
    if method == "spearman":
        every = ranks_of(total)
        lower = [correlation_of_ranks(own, ranks_of(total - own)) for own in ranks]
        upper = [correlation_of_ranks(own, every) for own in ranks]
    else:
        lower = [rank_correlation(each, total - own, method) for each, own in zip(distances, ranks, strict=True)]
        upper = [rank_correlation(each, total, method) for each in distances]
    return float(np.mean(lower)), float(np.mean(upper))


def shared_spectrum(products: np.ndarray, *, n_draws: int = 10, seed: int = 0) -> np.ndarray:
    """Cross-validated PCA: variance of the stimuli along each principal component, without the noise of single repeats.

    Components are those of one presentation; the variance along each is the covariance over stimuli of both presentations' scores, so
    noise, which repeats do not share, adds nothing on average. Which presentation comes first is drawn for each stimulus, ``n_draws``
    times, and spectra are averaged.

    Parameters
    ----------
    products : (2 n, 2 n), inner products of the responses to n stimuli: the first presentation of each, then the second.

    Returns
    -------
    (n - 1,) float64, in squared units of the responses summed over columns, in the order of the variance in one presentation; around 0
    where there is only noise.

    References
    ----------
    Stringer, Pachitariu, Steinmetz, Carandini & Harris (2019), High-dimensional geometry of population responses in visual cortex.
    """
    n, rng, spectra = len(products) // 2, np.random.default_rng(seed), []
    for _ in range(n_draws):
        flip = n * (rng.random(n) < 0.5)
        first, second = np.arange(n) + flip, np.arange(n) + n - flip
        _, vectors = np.linalg.eigh(_centred(products[np.ix_(first, first)]))
        vectors = vectors[:, :-n:-1]  # n - 1 of them, the largest first
        spectra.append(np.einsum("ij,ij->j", _centred(products[np.ix_(second, first)]) @ vectors, vectors) / n)
    return np.mean(spectra, axis=0)


def _centred(products: np.ndarray) -> np.ndarray:
    """Inner products about the columns' means of both sides."""
    return products - products.mean(0) - products.mean(1)[:, None] + products.mean()


def power_law(spectrum: np.ndarray, first: int, last: int) -> float:
    """Exponent alpha of ``variance ~ 1 / rank^alpha`` between two ranks (from 1, inclusive), weighted by 1 / rank; NaN where not positive.

    Examples
    --------
    >>> round(power_law(np.arange(1, 200) ** -1.5, 10, 100), 6)
    1.5
    """
    ranks = np.arange(first, min(last, len(spectrum)) + 1)
    values = spectrum[ranks - 1]
    if len(ranks) < 3 or not (values > 0).all():
        return float("nan")
    return float(-np.polyfit(np.log(ranks), np.log(values), 1, w=np.sqrt(1 / ranks))[0])
