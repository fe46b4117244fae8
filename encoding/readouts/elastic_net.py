"""Lasso and elastic net with penalties for each target, chosen by cross-validation, for all targets at once.

Penalties that are given are scikit-learn's, on the responses as they are. Where α is chosen, the grid is that of standardised responses:
with s the standard deviation of y over the training rows and ρ one of ``l1_ratios``, the weights are s times those of
``ElasticNet(alpha, ρ).fit(X, y / s)``, so that predictions do not depend on the unit of the responses. (On responses as they are, a
small unit shrinks the l1 part of the penalty with it and not the l2 part.) The same weights are those of scikit-learn's objective on y
with λ₁ = α ρ s and λ₂ = α (1 - ρ); the α and ρ that results report are those of this pair, λ₁ + λ₂ and λ₁ / (λ₁ + λ₂).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoding.readouts import READOUTS, BadOption, Choice, LinearModel, NotConverged, Options, Range, Readout, option
from encoding.readouts._counted import Counted
from encoding.readouts._gram import Gram
from encoding.readouts._held_out import SELECTIONS, HeldOut
from encoding.readouts._moments import Moments, centred
from encoding.readouts._sparse import Path, solve_each
from encoding.readouts._varying import target_variances
from encoding.readouts.ridge import target_blocks
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.threads import map_in_threads

if TYPE_CHECKING:
    import torch

N_ALPHAS = 30
SMALLEST_ALPHA = 1e-4  # of the largest
CHOOSING = 0.9  # of the work
KKT_LIMIT = 1e-4  # beyond, a target counts as not converged


@dataclass(frozen=True)
class LassoOptions(Options):
    """Parameters of :class:`Lasso`."""

    alpha: float | None = option(None, "One penalty for all vertices. Empty: chosen for each vertex by cross-validation.")
    alphas: tuple[float, ...] | None = option(
        None, "Penalties to choose from. Empty: 30 for each vertex, from the one at which all its weights are 0 down to 1e-4 of it."
    )
    n_folds: int = option(5, "Number of cross-validation folds of the training images on which penalties are chosen.")
    select: str = option("r2", "Score by which cross-validation chooses: r2 or r.", Choice(SELECTIONS))

    def __post_init__(self) -> None:
        for value in (self.alpha, *(self.alphas or ())):
            if value is not None and not (np.isfinite(value) and value > 0):
                raise BadOption(f"alpha must be a number above 0, not {value!r}; without a penalty, use ols.")
        if self.alphas is not None and not self.alphas:
            raise BadOption("alphas needs at least one penalty.")
        if self.n_folds < 2:
            raise BadOption(f"n_folds must be 2 or more, not {self.n_folds}.")
        if self.select not in SELECTIONS:
            raise BadOption(f"select must be {' or '.join(SELECTIONS)}, not {self.select!r}.")


@dataclass(frozen=True)
class ElasticNetOptions(LassoOptions):
    """Parameters of :class:`ElasticNet`."""

    l1_ratio: float | None = option(
        None, "One share of the l1 penalty for all vertices, above 0 and up to 1. Empty: chosen like alpha.", Range(0.05, 1.0)
    )
    l1_ratios: tuple[float, ...] = option((0.1, 0.5, 0.9), "Grid of l1_ratio.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for value in (self.l1_ratio, *self.l1_ratios):
            if value is not None and not 0 < value <= 1:
                raise BadOption(f"l1_ratio must be above 0 and at most 1, not {value!r}; for 0, use ridge.")
        if not self.l1_ratios:
            raise BadOption("l1_ratios needs at least one share.")


@dataclass(frozen=True)
class Penalties:
    """Path of penalties from large to small; each array is (a, 1) for all targets alike, or (a, t).

    Attributes
    ----------
    alpha, l1_ratio : scikit-learn's, on the responses as they are. l1, l2 : λ₁ = α ρ and λ₂ = α (1 - ρ).
    """

    alpha: np.ndarray
    l1_ratio: np.ndarray
    l1: np.ndarray
    l2: np.ndarray

    @classmethod
    def given(cls, alphas: Sequence[float], ratio: float) -> Penalties:
        """Path of given alphas, largest first, with one l1_ratio for all targets."""
        alpha = np.array(sorted(alphas, reverse=True), float)[:, None]
        return cls(alpha, np.full_like(alpha, ratio), alpha * ratio, alpha * (1 - ratio))

    @classmethod
    def standardised(cls, largest: np.ndarray, scale: np.ndarray, ratio: float) -> Penalties:
        """Default grid of ``y / scale``: from ``largest`` (t,), the λ₁ at which all weights are 0, down to 1e-4 of it."""
        l1 = np.geomspace(1, SMALLEST_ALPHA, N_ALPHAS)[:, None] * np.maximum(largest, np.finfo(np.float32).tiny)
        l2 = np.zeros((len(l1), 1)) if ratio == 1 else l1 * (1 - ratio) / (ratio * scale)
        return cls(l1 + l2, l1 / (l1 + l2), l1, l2)


class ElasticNet(Readout):
    """``min ‖y - Xw‖² / 2n + α ρ ‖w‖₁ + ½ α (1 - ρ) ‖w‖²`` about the means, as scikit-learn's ``ElasticNet``.

    A target's α and ρ are those of the least loss averaged over held-out folds, as scikit-learn's ``ElasticNetCV``; on ties the
    earlier ρ, then the larger α. While penalties are compared, weights of a target that has more than SOLVED_WEIGHTS of them and whose
    features are much alike (more features than images, say) are not the last digits, and neither is its choice between penalties of nearly
    equal loss; the final weights are. ``details`` holds ``alpha``, ``l1_ratio``, ``cv_loss`` (held-out mean squared error, or -r; NaN where
    nothing was chosen), ``n_weights`` (how many are not 0) and ``kkt``, the optimality residual of
    :func:`encoding.readouts._sparse.kkt`, each (t,).
    """

    name, title, version = "elastic_net", "Elastic net", 3
    about = "Few weights that are not 0, and those shrunk: between lasso and ridge."
    options = ElasticNetOptions

    def n_folds(self, options: LassoOptions) -> int:
        return 1 if options.alpha is not None and len(self._ratios(options)) == 1 else options.n_folds

    def fit(self, moments: Moments, options: LassoOptions, *, device: str = "cpu", report: Report = silent) -> LinearModel:
        grid = self._grid(moments, options, device)
        if sum(len(path.alpha) for path in grid) == 1:
            (path,) = grid
            values = {"alpha": path.alpha, "l1_ratio": path.l1_ratio, "l1": path.l1, "l2": path.l2, "cv_loss": np.nan}
            chosen = {name: np.full(moments.n_targets, value) for name, value in values.items()}
        else:
            chosen = choose_penalties(moments, grid, options.select, device=device, report=subprogress(report, 0, CHOOSING))
            report = subprogress(report, CHOOSING, 1)
        weights, intercept, residual = solve(moments, chosen.pop("l1"), chosen.pop("l2"), device=device, report=report)
        if (n_far := int((residual > KKT_LIMIT).sum())) > 0:
            warnings.warn(
                f"{self.name} has not converged for {n_far:,} of {moments.n_targets:,} vertices: see 'kkt' of each. A larger alpha helps.",
                NotConverged,
                stacklevel=2,
            )
        return LinearModel(weights, intercept, chosen | {"n_weights": (weights != 0).sum(0).astype(float), "kkt": residual})

    def _ratios(self, options: LassoOptions) -> tuple[float, ...]:
        return (options.l1_ratio,) if options.l1_ratio is not None else options.l1_ratios

    def _grid(self, moments: Moments, options: LassoOptions, device: str) -> list[Penalties]:
        """The penalties to compare, one path for each ρ."""
        alphas = options.alphas if options.alpha is None else (options.alpha,)
        if alphas is not None:
            return [Penalties.given(alphas, ratio) for ratio in self._ratios(options)]
        largest, scale = self._largest(moments, device)
        return [Penalties.standardised(largest, scale, ratio) for ratio in self._ratios(options)]

    def _largest(self, moments: Moments, device: str) -> tuple[np.ndarray, np.ndarray]:
        """The smallest λ₁ at which all weights are 0, and the unit of the responses: (t,), or (1,) for all targets together."""
        variance = target_variances(moments)
        return largest_products(moments, device=device), np.sqrt(np.where(variance > 0, variance, 1))


class Lasso(ElasticNet):
    """:class:`ElasticNet` with ``l1_ratio`` 1, as scikit-learn's ``Lasso`` and ``LassoCV``."""

    name, title, version = "lasso", "Lasso", 2
    about = "Sets most weights to 0: says which components a vertex needs."
    options = LassoOptions

    def _ratios(self, options: LassoOptions) -> tuple[float, ...]:
        return (1.0,)


def largest_products(moments: Moments, *, device: str = "cpu") -> np.ndarray:
    """Largest |X'y| / n of each target about the means (t,): the lasso's penalty at which all its weights are 0."""
    every, largest = np.arange(moments.n_folds), np.empty(moments.n_targets)
    gram = Gram.on(moments, every, device=device)
    for block in target_blocks(moments, device):
        some = moments.targets(block)
        largest[block] = gram.products(some, every, centred(some, every, device=device)).abs().amax(0).cpu().numpy()
    return largest


def choose_penalties(
    moments: Moments, grid: Sequence[Penalties], select: str, *, device: str = "cpu", report: Report = silent
) -> dict[str, np.ndarray]:
    """Choose penalties for each target by cross-validation over the moments' folds.

    Parameters
    ----------
    grid : one path of penalties for each ρ.

    Returns
    -------
    ``alpha``, ``l1_ratio``, ``l1``, ``l2`` and ``cv_loss``, each (t,) float64.
    """
    folds = np.arange(moments.n_folds)
    grams = [Gram.on(moments, np.delete(folds, fold), device=device) for fold in folds]
    made = {name: np.empty(moments.n_targets) for name in ("alpha", "l1_ratio", "l1", "l2", "cv_loss")}
    numbers = [(path, number) for path in grid for number in range(len(path.alpha))]
    blocks = list(target_blocks(moments, device))
    pieces = Counted(report, len(blocks) * len(folds) * len(grid), "choosing penalties")

    def choose(block: slice) -> None:
        loss = sum(_held_out_losses(moments, block, fold, grams[fold], grid, select, device, pieces) for fold in folds)
        least, best = loss.min(0)
        best = best.cpu().numpy()
        for name in ("alpha", "l1_ratio", "l1", "l2"):
            every = np.stack([np.broadcast_to(_of_block(getattr(path, name), block)[number], best.shape) for path, number in numbers])
            made[name][block] = every[best, np.arange(len(best))]
        made["cv_loss"][block] = least.double().cpu().numpy() / len(folds)

    map_in_threads(choose, blocks, device=device)
    return made


def _held_out_losses(
    moments: Moments, block: slice, fold: int, gram: Gram, grid: Sequence[Penalties], select: str, device: str, pieces: Counted
) -> torch.Tensor:
    """The loss on ``fold`` of models fitted on the others, for each penalty of ``grid`` and target of ``block``, (a, t)."""
    import torch

    some, others = moments.targets(block), np.delete(np.arange(moments.n_folds), fold)
    train = centred(some, others, device=device)
    held_out, c = HeldOut(some, fold, train, select, device=device), gram.products(some, others, train)
    losses = []
    for penalties in grid:
        path = Path(gram, c)
        for pair in zip(_of_block(penalties.l1, block), _of_block(penalties.l2, block), strict=True):
            losses.append(
                held_out.loss(path.to(*(float(part[0]) if len(part) == 1 else torch.from_numpy(part).to(device) for part in pair)))
            )
        pieces.done()
    return torch.stack(losses)


def _of_block(penalties: np.ndarray, block: slice) -> np.ndarray:
    return penalties if penalties.shape[1] == 1 else penalties[:, block]


def solve(
    moments: Moments, l1: np.ndarray, l2: np.ndarray, *, device: str = "cpu", report: Report = silent
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve on all folds: weights (p, t), intercepts (t,) and optimality residuals (t,), with penalties λ₁ and λ₂ (t,)."""
    import torch

    every = np.arange(moments.n_folds)
    gram = Gram.on(moments, every, device=device)
    weights = np.empty((moments.n_components, moments.n_targets), moments.xy.dtype)
    intercept, residual = np.empty(moments.n_targets), np.empty(moments.n_targets)
    blocks = list(target_blocks(moments, device))
    pieces = Counted(report, len(blocks), "fitting weights")

    def solve_block(block: slice) -> None:
        some = moments.targets(block)
        train = centred(some, every, device=device)
        w, far = solve_each(gram, gram.products(some, every, train), *(torch.from_numpy(part[block]).to(device) for part in (l1, l2)))
        weights[:, block] = w.cpu().numpy()
        intercept[block] = (train.mean_y - train.mean_x @ w).cpu().numpy() + moments.shift[block]
        residual[block] = far.cpu().numpy()
        pieces.done()

    map_in_threads(solve_block, blocks, device=device)
    return weights, intercept, residual


READOUTS.register("lasso", Lasso())
READOUTS.register("elastic_net", ElasticNet())
