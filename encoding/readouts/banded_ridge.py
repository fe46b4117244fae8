"""Banded ridge regression from moments: one penalty for each layer, chosen for each target by a random search.

Dupré la Tour, Eickenberg, Nunez-Elizalde & Gallant, "Feature-space selection with banded ridge regression", NeuroImage (2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from encoding.readouts import READOUTS, BadOption, LinearModel, Options, Readout, option
from encoding.readouts._banded import choose, eigenbasis, shrinkages
from encoding.readouts._counted import Counted
from encoding.readouts._held_out import SELECTIONS
from encoding.readouts._moments import Moments, centred
from encoding.readouts.ridge import RELATIVE_ALPHAS
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.threads import map_in_threads

CONSTANT = 1e-12  # of a component's sum of squares: a variance that is rounding


@dataclass(frozen=True)
class BandedRidgeOptions(Options):
    """Parameters of :class:`BandedRidge`."""

    n_candidates: int = option(
        100, "Number of sets of layer weights in the random search; the first weighs layers equally, the others are drawn at random."
    )
    alphas: tuple[float, ...] | None = option(
        None, "Penalties to try with each set. Empty: 15, from 1e-4 to 1e3 times the mean eigenvalue of X'X."
    )
    concentrations: tuple[float, ...] = option(
        (0.1, 1.0),
        "Concentrations of the Dirichlet distributions drawn from by turns: below 1, few layers get most of the weight; 1 is uniform.",
    )
    equalize: bool = option(True, "Bring all layers to one mean variance before they are weighed, so that their units do not matter.")
    n_folds: int = option(5, "Number of cross-validation folds of the training images on which penalties are chosen.")
    select: str = option("r2", "Score by which cross-validation chooses: r2 or r.")
    exhaustive: bool = option(
        False, "Cross-validate every set for every vertex, also those that an estimate puts far from the best: slower, rarely different."
    )
    seed: int = option(0, "Random seed of the draws.")
    delays_apart: bool = option(
        False, "A penalty for each delay of a layer, not one for all: of films, with one set of delays.", added=True
    )

    def __post_init__(self) -> None:
        for value in self.alphas or ():
            if not (np.isfinite(value) and value >= 0):
                raise BadOption(f"alpha must be a number of 0 or more, not {value!r}.")
        if self.alphas is not None and not self.alphas:
            raise BadOption("alphas needs at least one penalty.")
        for value in self.concentrations:
            if not (np.isfinite(value) and value > 0):
                raise BadOption(f"concentrations must be numbers above 0, not {value!r}.")
        if not self.concentrations:
            raise BadOption("concentrations needs at least one number.")
        for name, least in (("n_candidates", 1), ("n_folds", 2), ("seed", 0)):
            if getattr(self, name) < least:
                raise BadOption(f"{name} must be {least} or more, not {getattr(self, name)}.")
        if self.select not in SELECTIONS:
            raise BadOption(f"select must be {' or '.join(SELECTIONS)}, not {self.select!r}.")


class BandedRidge(Readout):
    """``min ‖y - Σ X_b w_b‖² + Σ μ_b ‖w_b‖²`` about the means, b over layers (or delays of each), as himalaya's ``GroupRidgeCV``.

    A target's penalties are ``μ_b = α / s_b`` for layer weights s that sum to 1 and an α, those of least squared error
    summed over held-out folds (or of the highest mean r). On ties the earlier weights, then the smaller α. With ``equalize``,
    s_b is further divided by layer b's mean eigenvalue of X'X in units of the mean over all layers. Weights are in the features as they
    came. With one layer this is ``ridge``.

    ``details``, each (t,): ``alpha``; ``log10_penalty_<i>``, the log10 of μ of layer i, inf where a layer weighs 0; ``cv_r2`` or
    ``cv_r``, the held-out score (NaN for a constant target); ``kkt``, the gradient at the weights relative to that at 0, the largest of
    each in components scaled by √s.
    """

    name, title = "banded_ridge", "Banded ridge"
    about = "Ridge with a penalty for each layer, chosen for each vertex: says which layers it needs."
    by_layer = True
    options = BandedRidgeOptions

    def n_folds(self, options: BandedRidgeOptions) -> int:
        return options.n_folds

    def delays_apart(self, options: BandedRidgeOptions) -> bool:
        return options.delays_apart

    def cost(self, n: int, p: int, t: int, options: BandedRidgeOptions) -> tuple[float, float]:
        """Assume that GCV is computed for every candidate, and a fifth of them cross-validated at five penalties."""
        folds, candidates = self.n_folds(options), options.n_candidates
        every = options.exhaustive or options.select != "r2"
        alphas = RELATIVE_ALPHAS if options.alphas is None else options.alphas
        products = folds * (2 + len(alphas)) if every else 1 + folds * (2 + 5) / 5
        return 1.0 * candidates * p * p * (products * t + 20 * (folds + 1) * p), 5.0 * candidates * t

    def fit(self, moments: Moments, options: BandedRidgeOptions, *, device: str = "cpu", report: Report = silent) -> LinearModel:
        bands = moments.bands or (moments.n_components,)
        if sum(bands) != moments.n_components:
            raise ValueError(f"The layers have {sum(bands)} components together, X has {moments.n_components}.")
        variance, mean = _mean_eigenvalues(moments, bands)
        shares = candidates(len(bands), options.n_candidates, options.concentrations, options.seed)
        scales = shares * np.where(variance > 0, mean / np.where(variance > 0, variance, 1), 1) if options.equalize else shares
        relative = RELATIVE_ALPHAS * max(mean, np.finfo(float).tiny)
        alphas = relative if options.alphas is None else np.array(sorted(options.alphas), float)
        wide = np.repeat(scales, bands, axis=1)  # (c, p)
        choosing, solving = subprogress(report, 0.0, 0.95), subprogress(report, 0.95, 1.0)
        chosen = choose(moments, wide, alphas, select=options.select, exhaustive=options.exhaustive, device=device, report=choosing)
        alpha = alphas[chosen.alpha]
        weights, intercept, kkt = solve(moments, wide, chosen.candidate, alpha, device=device, report=solving)
        scale = scales[chosen.candidate]
        with np.errstate(divide="ignore"):
            penalties = np.where(scale > 0, np.log10(alpha[:, None]) - np.log10(np.where(scale > 0, scale, 1)), np.inf)
        details = {"alpha": alpha, f"cv_{options.select}": chosen.score, "kkt": kkt}
        return LinearModel(weights, intercept, details | {f"log10_penalty_{i}": mu for i, mu in enumerate(penalties.T)})


def _mean_eigenvalues(moments: Moments, bands: tuple[int, ...]) -> tuple[np.ndarray, float]:
    """Of X'X about the mean: of each layer's components (B,), 0 where they are constant, and of all together."""
    n, x, squares = moments.n.sum(), moments.x.sum(0), np.einsum("fii->i", moments.xx)
    varying = squares - x**2 / n
    varying[varying < CONSTANT * squares] = 0
    by_layer = np.array([part.mean() if len(part) else 0.0 for part in np.split(varying, np.cumsum(bands)[:-1])])
    return by_layer, float(varying.mean())


def candidates(n_layers: int, n: int, concentrations: tuple[float, ...], seed: int) -> np.ndarray:
    """(n, n_layers) weights of layers that sum to 1: equal ones, then draws, those that himalaya 0.4 makes of this random state.

    Each concentration draws its share of them, and they take turns. With one layer there is one candidate.
    """
    if n_layers == 1:
        return np.ones((1, 1))
    random, each_of = np.random.RandomState(seed), -(-n // len(concentrations))
    drawn = np.stack([random.dirichlet([concentration] * n_layers, each_of) for concentration in concentrations], 1)
    shares = drawn.reshape(-1, n_layers)[:n]
    shares[0] = 1 / n_layers
    return shares


def solve(
    moments: Moments, scales: np.ndarray, candidate: np.ndarray, alpha: np.ndarray, *, device: str = "cpu", report: Report = silent
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights (p, t), intercepts (t,) and optimality residuals (t,) on all folds, computed in float64.

    Each target has its own row of ``scales`` (c, p), given by ``candidate`` (t,), and its own ``alpha`` (t,).
    """
    import torch

    every = np.arange(moments.n_folds)
    xx = centred(moments.targets(slice(0, 0)), every, device=device).xx
    weights = np.empty((moments.n_components, moments.n_targets), moments.xy.dtype)
    intercept, residual = np.empty(moments.n_targets), np.empty(moments.n_targets)
    chosen = np.unique(candidate)
    pieces = Counted(report, len(chosen), "weights")

    def solve_candidate(number: int) -> None:
        values, V = eigenbasis(xx, scales[number])
        root = torch.from_numpy(np.sqrt(scales[number])).to(device)[:, None]
        members = np.flatnonzero(candidate == number)
        for block in np.array_split(members, -(-len(members) // 1_024)):
            train = centred(moments.targets(block), every, device=device)
            penalty, xy = torch.from_numpy(alpha[block]).to(device), train.xy.double()
            u = shrinkages(values, penalty).T * (V.T @ xy)  # (p, b), in the eigenbasis
            w = V @ u
            weights[:, block] = w.cpu().numpy()
            intercept[block] = (train.mean_y - train.mean_x @ w).cpu().numpy() + moments.shift[block]
            at_zero = root * xy
            gradient = root * (xx @ w) - at_zero + penalty * ((V / root.clamp(min=1e-300)) @ u)
            ratio = gradient.abs().amax(0) / at_zero.abs().amax(0).clamp(min=1e-300)
            residual[block] = ratio.cpu().numpy()
        pieces.done()

    map_in_threads(solve_candidate, chosen, device=device)
    return weights, intercept, residual


READOUTS.register("banded_ridge", BandedRidge())
