"""Lasso and elastic net with penalties for each target, chosen by cross-validation, for all targets at once."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoding.readouts import READOUTS, BadOption, Choice, LinearModel, NotConverged, Options, Range, Readout, option
from encoding.readouts._counted import Counted
from encoding.readouts._gram import Gram
from encoding.readouts._held_out import SELECTIONS, HeldOut
from encoding.readouts._moments import Moments, centred
from encoding.readouts._sparse import Path, solve_each
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
    l1_ratio: float | None = option(
        None, "One share of the l1 penalty for every vertex, above 0 and up to 1. Empty: chosen like alpha.", Range(0.05, 1.0)
    )
    l1_ratios: tuple[float, ...] = option((0.1, 0.5, 0.9), "Grid of l1_ratio.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for value in (self.l1_ratio, *self.l1_ratios):
            if value is not None and not 0 < value <= 1:
                raise BadOption(f"l1_ratio must be above 0 and at most 1, not {value!r}; for 0, use ridge.")
        if not self.l1_ratios:
            raise BadOption("l1_ratios needs at least one share.")


class ElasticNet(Readout):
    """``min ‖y - Xw‖² / 2n + α ρ ‖w‖₁ + ½ α (1 - ρ) ‖w‖²`` about the means, as scikit-learn's ``ElasticNet``.

    A target's α and ρ are those of the least loss averaged over held-out folds, as scikit-learn's ``ElasticNetCV``; on ties the
    earlier ρ, then the larger α. While penalties are compared, weights of a target that has more than SOLVED_WEIGHTS of them and whose
    features are much alike (more features than images, say) are not the last digits, and neither is its choice between penalties of nearly
    equal loss; the final weights are. ``details`` holds ``alpha``, ``l1_ratio``, ``cv_loss`` (held-out mean squared error, or -r; NaN where
    nothing was chosen), ``n_weights`` (how many are not 0) and ``kkt``, the optimality residual of
    :func:`encoding.readouts._sparse.kkt`, each (t,).
    """

    name, title, version = "elastic_net", "Elastic net", 2
    about = "Few weights that are not 0, and those shrunk: between lasso and ridge."
    options = ElasticNetOptions

    def n_folds(self, options: LassoOptions) -> int:
        return 1 if options.alpha is not None and len(self._ratios(options)) == 1 else options.n_folds

    def fit(self, moments: Moments, options: LassoOptions, *, device: str = "cpu", report: Report = silent) -> LinearModel:
        grid = {ratio: self._alphas(moments, options, ratio, device) for ratio in self._ratios(options)}
        if sum(map(len, grid.values())) == 1:
            ((ratio, ((alpha,),)),) = grid.items()
            chosen = {
                name: np.full(moments.n_targets, value) for name, value in (("alpha", alpha), ("l1_ratio", ratio), ("cv_loss", np.nan))
            }
        else:
            chosen = choose_penalties(moments, grid, options.select, device=device, report=subprogress(report, 0, CHOOSING))
            report = subprogress(report, CHOOSING, 1)
        weights, intercept, residual = solve(moments, chosen["alpha"], chosen["l1_ratio"], device=device, report=report)
        if (n_far := int((residual > KKT_LIMIT).sum())) > 0:
            warnings.warn(
                f"{self.name} has not converged for {n_far:,} of {moments.n_targets:,} vertices: see 'kkt' of each. A larger alpha helps.",
                NotConverged,
                stacklevel=2,
            )
        return LinearModel(weights, intercept, chosen | {"n_weights": (weights != 0).sum(0).astype(float), "kkt": residual})

    def _ratios(self, options: LassoOptions) -> tuple[float, ...]:
        return (options.l1_ratio,) if options.l1_ratio is not None else options.l1_ratios

    def _alphas(self, moments: Moments, options: LassoOptions, ratio: float, device: str) -> np.ndarray:
        """Penalties to compare, from large to small: (a, 1) for all targets alike, (a, t) for each its own."""
        if options.alpha is not None:
            return np.array([[options.alpha]])
        if options.alphas is not None:
            return np.array(sorted(options.alphas, reverse=True), float)[:, None]
        return np.geomspace(1, SMALLEST_ALPHA, N_ALPHAS)[:, None] * largest_products(moments, device=device) / ratio


class Lasso(ElasticNet):
    """:class:`ElasticNet` with ``l1_ratio`` 1, as scikit-learn's ``Lasso`` and ``LassoCV``."""

    name, title = "lasso", "Lasso"
    about = "Sets most weights to 0: says which components a vertex needs."
    options = LassoOptions

    def _ratios(self, options: LassoOptions) -> tuple[float, ...]:
        return (1.0,)


def largest_products(moments: Moments, *, device: str = "cpu") -> np.ndarray:
    """(t,) the largest |X'y| / n of each target about the means: the lasso's penalty at which all its weights are 0."""
    every, largest = np.arange(moments.n_folds), np.empty(moments.n_targets)
    gram = Gram.on(moments, every, device=device)
    for block in target_blocks(moments, device):
        some = moments.targets(block)
        largest[block] = gram.products(some, every, centred(some, every, device=device)).abs().amax(0).cpu().numpy()
    return np.maximum(largest, np.finfo(np.float32).tiny)


def choose_penalties(
    moments: Moments, grid: Mapping[float, np.ndarray], select: str, *, device: str = "cpu", report: Report = silent
) -> dict[str, np.ndarray]:
    """The best penalties for each target over the moments' folds.

    Parameters
    ----------
    grid : l1_ratio to the alphas that are compared with it, from large to small, (a, 1) or (a, t).

    Returns
    -------
    ``alpha``, ``l1_ratio`` and ``cv_loss``, each (t,) float64.
    """
    folds = np.arange(moments.n_folds)
    grams = [Gram.on(moments, np.delete(folds, fold), device=device) for fold in folds]
    every_ratio = np.concatenate([np.full(len(alphas), ratio) for ratio, alphas in grid.items()])
    every_alpha = np.concatenate(list(grid.values()))  # (a, 1) or (a, t)
    made = {name: np.empty(moments.n_targets) for name in ("alpha", "l1_ratio", "cv_loss")}
    blocks = list(target_blocks(moments, device))
    pieces = Counted(report, len(blocks) * len(folds) * len(grid), "choosing penalties")

    def choose(block: slice) -> None:
        loss = sum(_held_out_losses(moments, block, fold, grams[fold], grid, select, device, pieces) for fold in folds)
        least, best = loss.min(0)
        best = best.cpu().numpy()
        made["l1_ratio"][block] = every_ratio[best]
        own = every_alpha[:, block] if every_alpha.shape[1] > 1 else np.broadcast_to(every_alpha, (len(every_alpha), len(best)))
        made["alpha"][block] = own[best, np.arange(len(best))]
        made["cv_loss"][block] = least.double().cpu().numpy() / len(folds)

    map_in_threads(choose, blocks, device=device)
    return made


def _held_out_losses(
    moments: Moments, block: slice, fold: int, gram: Gram, grid: Mapping[float, np.ndarray], select: str, device: str, pieces: Counted
) -> torch.Tensor:
    """The loss on ``fold`` of models fitted on the others, for each penalty of ``grid`` and target of ``block``, (a, t)."""
    import torch

    some, others = moments.targets(block), np.delete(np.arange(moments.n_folds), fold)
    train = centred(some, others, device=device)
    held, c = HeldOut(some, fold, train, select, device=device), gram.products(some, others, train)
    losses = []
    for ratio, alphas in grid.items():
        path = Path(gram, c)
        for alpha in alphas:
            penalty = float(alpha[0]) if len(alpha) == 1 else torch.from_numpy(alpha[block]).to(device)
            losses.append(held.loss(path.to(penalty * ratio, 0.0 if ratio == 1 else penalty * (1 - ratio))))
        pieces.done()
    return torch.stack(losses)


def solve(
    moments: Moments, alpha: np.ndarray, l1_ratio: np.ndarray, *, device: str = "cpu", report: Report = silent
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights (p, t), intercepts (t,) and optimality residuals (t,) on all folds, with penalties (t,) of each target's own."""
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
        l1, l2 = (torch.from_numpy(part[block]).to(device) for part in (alpha * l1_ratio, alpha * (1 - l1_ratio)))
        w, far = solve_each(gram, gram.products(some, every, train), l1, l2)
        weights[:, block] = w.cpu().numpy()
        intercept[block] = (train.mean_y - train.mean_x @ w).cpu().numpy() + moments.shift[block]
        residual[block] = far.cpu().numpy()
        pieces.done()

    map_in_threads(solve_block, blocks, device=device)
    return weights, intercept, residual


READOUTS.register("lasso", Lasso())
READOUTS.register("elastic_net", ElasticNet())
