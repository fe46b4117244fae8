"""Multi-task lasso and elastic net: components that all targets share, one penalty for all, chosen by cross-validation."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoding.readouts import READOUTS, LinearModel, NotConverged, Range, option
from encoding.readouts._counted import Counted
from encoding.readouts._gram import Gram
from encoding.readouts._held_out import HeldOut
from encoding.readouts._moments import Moments, centred
from encoding.readouts._row_sparse import Rotated, solve_rows, weights_map
from encoding.readouts._varying import target_variances
from encoding.readouts.elastic_net import CHOOSING, KKT_LIMIT, ElasticNet, ElasticNetOptions, LassoOptions
from encoding.readouts.ridge import target_blocks
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.threads import map_in_threads

if TYPE_CHECKING:
    import torch

PATH_TOLERANCE = 1e-7  # of the optimality residual while penalties are compared
TOLERANCE = 1e-10  # of the final weights
N_APPROACHES = 6  # penalties from the one where all weights are 0 to the one asked for; each starts from the one before


@dataclass(frozen=True)
class MultiTaskLassoOptions(LassoOptions):
    """Parameters of :class:`MultiTaskLasso`."""

    alpha: float | None = option(None, "The penalty. Empty: chosen once for all vertices by cross-validation.")
    alphas: tuple[float, ...] | None = option(
        None, "Penalties to choose from. Empty: 30, from the one at which all weights are 0 down to 1e-4 of it."
    )


@dataclass(frozen=True)
class MultiTaskElasticNetOptions(MultiTaskLassoOptions, ElasticNetOptions):
    """Parameters of :class:`MultiTaskElasticNet`."""

    l1_ratio: float | None = option(
        None, "The share of the penalty that sets weights to 0, above 0 and up to 1. Empty: chosen like alpha.", Range(0.05, 1.0)
    )


class MultiTaskElasticNet(ElasticNet):
    """``min ‖Y - XW‖² / 2n + α ρ Σⱼ ‖Wⱼ‖ + ½ α (1 - ρ) ‖W‖²`` about the means, as scikit-learn's ``MultiTaskElasticNet``.

    The rows Wⱼ (t,) join all targets of the fit: a component has weights for every vertex or for none, so a model depends on which
    vertices are fitted together (``per_target`` is False). A fit is over all vertices of a hemisphere; an ROI then is a choice of
    its columns, not the model of that ROI fitted alone.

    α and ρ are chosen once for all targets, by the mean squared error averaged over targets and held-out folds, as
    ``MultiTaskElasticNetCV`` does; on ties the earlier ρ, then the larger α. Targets of large variance therefore count more. With
    ``select="r"`` the mean over targets and folds of r decides, where each counts the same. Where α is chosen, the unit of the responses
    is taken out of the grid as in :mod:`encoding.readouts.elastic_net`, with one s for all targets, the root of their mean variance.

    ``details`` holds, each (t,): ``alpha``, ``l1_ratio``, ``cv_loss`` (that mean squared error, or -r; NaN where nothing was chosen),
    ``n_weights`` (how many are not 0) and ``kkt``, the optimality residual of :func:`encoding.readouts._row_sparse.row_kkt`. All but
    ``n_weights`` are one number for all targets.
    """

    name, title = "multitask_elastic_net", "Multi-task elastic net"
    about = "Picks components that all vertices share, and shrinks their weights: between multi-task lasso and ridge."
    options = MultiTaskElasticNetOptions
    per_target = False

    def fit(self, moments: Moments, options: LassoOptions, *, device: str = "cpu", report: Report = silent) -> LinearModel:
        grid = self._grid(moments, options, device)
        alpha, ratio, l1, l2 = (
            np.concatenate([getattr(path, name).ravel() for path in grid]) for name in ("alpha", "l1_ratio", "l1", "l2")
        )
        best, loss = 0, np.nan
        if len(alpha) > 1:
            penalties = list(zip(l1.tolist(), l2.tolist(), strict=True))
            losses = held_out_losses(moments, penalties, options.select, device=device, report=subprogress(report, 0, CHOOSING))
            report = subprogress(report, CHOOSING, 1)
            best, loss = losses.argmin(), losses.min()
        weights, intercept, residual = solve(moments, float(l1[best]), float(l2[best]), device=device, report=report)
        if residual > KKT_LIMIT:
            warnings.warn(
                f"{self.name} has not converged: its optimality residual is {residual:.1e}, not {KKT_LIMIT:.0e}. A larger alpha helps.",
                NotConverged,
                stacklevel=2,
            )
        numbers = {"alpha": alpha[best], "l1_ratio": ratio[best], "cv_loss": loss, "kkt": residual}
        details = {name: np.full(moments.n_targets, number) for name, number in numbers.items()}
        return LinearModel(weights, intercept, details | {"n_weights": (weights != 0).sum(0).astype(float)})

    def _largest(self, moments: Moments, device: str) -> tuple[np.ndarray, np.ndarray]:
        largest = Rotated.of(moments, np.arange(moments.n_folds), device=device).largest()
        return np.array([largest]), np.array([np.sqrt(target_variances(moments).mean() or 1.0)])


class MultiTaskLasso(MultiTaskElasticNet):
    """:class:`MultiTaskElasticNet` with ``l1_ratio`` 1, as scikit-learn's ``MultiTaskLasso`` and ``MultiTaskLassoCV``."""

    name, title, version = "multitask_lasso", "Multi-task lasso", 2
    about = "Sets the weights of most components to 0 for all vertices at once: says which components they share."
    options = MultiTaskLassoOptions

    def _ratios(self, options: LassoOptions) -> tuple[float, ...]:
        return (1.0,)


def held_out_losses(
    moments: Moments, penalties: Sequence[tuple[float, float]], select: str, *, device: str = "cpu", report: Report = silent
) -> np.ndarray:
    """Loss of each (λ₁, λ₂) averaged over targets and the moments' folds, (len(penalties),) float64.

    Each starts from the solution of the one before, so those of one path go from large to small.
    """
    losses = np.empty((moments.n_folds, len(penalties)))
    pieces = Counted(report, losses.size, "choosing penalties")
    loss_of = {"r2": _mean_squared_errors, "r": _negative_correlations}[select]

    def hold_out(fold: int) -> None:
        losses[fold] = loss_of(moments, fold, penalties, device, pieces)

    map_in_threads(hold_out, range(moments.n_folds), device=device)
    return losses.mean(0)


def _mean_squared_errors(
    moments: Moments, fold: int, penalties: Sequence[tuple[float, float]], device: str, pieces: Counted
) -> list[float]:
    """Of one fold and all targets, for each penalty; from rotated targets, so no target's own weights are made."""
    none, others = moments.targets(slice(0, 0)), np.delete(np.arange(moments.n_folds), fold)
    train = centred(none, others, device=device)
    test = centred(none, np.array([fold]), device=device, about=train)
    rotated = Rotated.of(moments, others, np.array([fold]), device=device)
    sums = [
        float(((test.xx @ weights - 2 * rotated.test_xy) * weights).sum()) + rotated.squares
        for _, weights in _path(Gram.on(moments, others, device=device), rotated.c, penalties, pieces)
    ]
    return [total / (test.n * moments.n_targets) for total in sums]


def _negative_correlations(
    moments: Moments, fold: int, penalties: Sequence[tuple[float, float]], device: str, pieces: Counted
) -> list[float]:
    """-r of one fold averaged over targets, for each penalty."""
    others, parts, losses = np.delete(np.arange(moments.n_folds), fold), [], []
    gram = Gram.on(moments, others, device=device)
    for block in target_blocks(moments, device):
        some = moments.targets(block)
        train = centred(some, others, device=device)
        parts.append((gram.products(some, others, train), HeldOut(some, fold, train, "r", device=device)))
    path = _path(gram, Rotated.of(moments, others, device=device).c, penalties, pieces)
    for (l1, l2), (norms, _) in zip(penalties, path, strict=True):
        M = weights_map(gram, l1, l2, norms).to(parts[0][0].dtype)
        losses.append(sum(float(test.loss(M @ c).sum()) for c, test in parts) / moments.n_targets)
    return losses


def _path(
    gram: Gram, c: torch.Tensor, penalties: Sequence[tuple[float, float]], pieces: Counted
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Norms (p,) and weights (p, q) for each penalty, from zeros where the one before was smaller."""
    norms, before = c.new_zeros(len(c)), np.inf
    for l1, l2 in penalties:
        start = norms if l1 <= before else c.new_zeros(len(c))
        norms, weights, _ = solve_rows(gram, c, l1, l2, start, PATH_TOLERANCE)
        before = l1
        pieces.done()
        yield norms, weights


def solve(moments: Moments, l1: float, l2: float, *, device: str = "cpu", report: Report = silent) -> tuple[np.ndarray, np.ndarray, float]:
    """Solve on all folds: weights (p, t), intercepts (t,) and the optimality residual."""
    every = np.arange(moments.n_folds)
    gram, rotated = Gram.on(moments, every, device=device), Rotated.of(moments, every, device=device)
    blocks = list(target_blocks(moments, device))
    pieces = Counted(report, N_APPROACHES + len(blocks), "fitting weights")
    approach = np.geomspace(max(1.0, rotated.largest() / l1), 1, N_APPROACHES).tolist()  # factors of both
    *_, (norms, _) = _path(gram, rotated.c, [(factor * l1, factor * l2) for factor in approach], pieces)
    norms, _, residual = solve_rows(gram, rotated.c, l1, l2, norms, TOLERANCE)
    M = weights_map(gram, l1, l2, norms)
    weights = np.empty((moments.n_components, moments.n_targets), moments.xy.dtype)
    intercept = np.empty(moments.n_targets)

    def solve_block(block: slice) -> None:
        some = moments.targets(block)
        train = centred(some, every, device=device)
        w = M @ gram.products(some, every, train).double()
        weights[:, block] = w.cpu().numpy()
        intercept[block] = (train.mean_y - train.mean_x @ w).cpu().numpy() + moments.shift[block]
        pieces.done()

    map_in_threads(solve_block, blocks, device=device)
    return weights, intercept, residual


READOUTS.register("multitask_lasso", MultiTaskLasso())
READOUTS.register("multitask_elastic_net", MultiTaskElasticNet())
