"""Ridge regression from moments: a penalty for each target, chosen by cross-validation, for all targets at once.

With G = X'X of the training folds (centred) and its eigenbasis G = V Λ V', a whole path of penalties is
``w(α) = V (Λ + α)⁻¹ V'C`` for C = X'Y. On the fold held out, with B = V'X̃'X̃V and D = V'X̃'Ỹ,
``SSE(α) = Σỹ² - 2 u'D + u'Bu`` for ``u = (Λ + α)⁻¹ V'C``: every validation error without a prediction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoding.readouts import READOUTS, BadOption, LinearModel, Options, Readout, option
from encoding.readouts._moments import Centred, Moments, centred
from encoding.runtime.progress import Report, silent
from encoding.runtime.threads import map_in_threads

if TYPE_CHECKING:
    import torch

RELATIVE_ALPHAS = np.logspace(-4, 3, 15)  # of the mean eigenvalue of X'X: the same grid whatever the features' scale
TARGET_BLOCK = {"cpu": 1_024, "cuda": 16_384}  # p x 1,024 float32 stays in a core's cache


@dataclass(frozen=True)
class RidgeOptions(Options):
    """Parameters of :class:`Ridge`."""

    alpha: float | None = option(None, "One penalty for all vertices. Empty: chosen for each vertex by cross-validation.")
    alphas: tuple[float, ...] | None = option(
        None, "Grid of penalties where alpha is empty. Empty: 15, from 1e-4 to 1e3 times the mean eigenvalue of X'X."
    )
    alpha_per_target: bool = option(
        True,
        "A penalty for each vertex; false: one for all vertices that are fitted together, of the highest mean held-out R².",
        added=True,
    )
    n_folds: int = option(5, "Number of cross-validation folds of the training images on which alpha is chosen.")

    def __post_init__(self) -> None:
        for value in (self.alpha, *(self.alphas or ())):
            if value is not None and not (np.isfinite(value) and value >= 0):
                raise BadOption(f"alpha must be a number of 0 or more, not {value!r}.")
        if self.alphas is not None and not self.alphas:
            raise BadOption("alphas needs at least one penalty.")
        if self.n_folds < 2:
            raise BadOption(f"n_folds must be 2 or more, not {self.n_folds}.")


class Ridge(Readout):
    """``min ‖Y - Xw‖² + α ‖w‖²`` about the means, as scikit-learn's ``Ridge`` and himalaya's ``RidgeCV``.

    The alpha of a target is the one with the least squared error summed over held-out folds; with ``alpha_per_target=False`` all targets
    fitted together share the one of the highest held-out R², the mean over targets. ``details``
    holds ``alpha`` (t,), ``cv_r2`` (t,), the held-out R² at that alpha (NaN for a target that is constant
    or where alpha was given), and ``kkt`` (t,), the optimality residual of :func:`optimality`.
    """

    name, title, version = "ridge", "Ridge", 2
    about = "Shrinks weights by a penalty chosen for each vertex: the field's usual choice."
    options = RidgeOptions

    def n_folds(self, options: RidgeOptions) -> int:
        return 1 if options.alpha is not None else options.n_folds

    def targets_apart(self, options: RidgeOptions) -> bool:
        return options.alpha_per_target or options.alpha is not None

    def cost(self, n: int, p: int, t: int, options: RidgeOptions) -> tuple[float, float]:
        """An eigendecomposition works on six (p, p) float64; to choose penalties, two more and one for each fold held out."""
        n_folds = self.n_folds(options)
        return super().cost(n, p, t, options)[0], 8.0 * p * p * (6 if n_folds == 1 else 8 + n_folds)

    def fit(self, moments: Moments, options: RidgeOptions, *, device: str = "cpu", report: Report = silent) -> LinearModel:
        alphas = penalties(moments, options)
        if len(alphas) == 1:
            alpha, cv_r2 = np.full(moments.n_targets, alphas[0]), np.full(moments.n_targets, np.nan)
        else:
            alpha, cv_r2 = choose_alpha(moments, alphas, per_target=options.alpha_per_target, device=device)
        weights, intercept, kkt = solve(moments, alpha, device=device)
        return LinearModel(weights, intercept, {"alpha": alpha, "cv_r2": cv_r2, "kkt": kkt})


def penalties(moments: Moments, options: RidgeOptions) -> np.ndarray:
    """The penalties to choose from, ascending (a,): given ones, or :data:`RELATIVE_ALPHAS` times the mean eigenvalue of X'X."""
    if options.alpha is not None:
        return np.array([options.alpha])
    if options.alphas is not None:
        return np.array(sorted(options.alphas), float)
    n, x = moments.n.sum(), moments.x.sum(0)
    mean_eigenvalue = (np.trace(moments.xx.sum(0)) - x @ x / n) / moments.n_components
    return RELATIVE_ALPHAS * max(mean_eigenvalue, np.finfo(float).tiny)


def choose_alpha(moments: Moments, alphas: np.ndarray, *, per_target: bool = True, device: str = "cpu") -> tuple[np.ndarray, np.ndarray]:
    """Choose one of ``alphas`` (a,) for each target by cross-validation over the moments' folds; its alpha (t,) and held-out R² (t,).

    Unless ``per_target`` all get the alpha of the highest held-out R², averaged over targets that vary.
    """
    import torch

    bases = [_Basis.without(fold, moments, alphas, device) for fold in range(moments.n_folds)]
    alpha, cv_r2 = np.empty(moments.n_targets), np.empty(moments.n_targets)
    r2 = np.empty((0 if per_target else len(alphas), moments.n_targets))

    def choose(block: slice) -> None:
        some = moments.targets(block)
        parts = [_held_out_errors(some, basis, device) for basis in bases]
        error, total = sum(error for error, _ in parts), sum(total for _, total in parts)
        if not per_target:
            r2[:, block] = torch.where(total > 0, 1 - error.double() / total, torch.nan).cpu().numpy()
            return
        least, best = error.min(0)  # ties go to the smaller alpha
        alpha[block] = alphas[best.cpu().numpy()]
        cv_r2[block] = torch.where(total > 0, 1 - least.double() / total, torch.nan).cpu().numpy()

    map_in_threads(choose, target_blocks(moments, device), device=device)
    if not per_target:
        varying = np.isfinite(r2).all(0)
        best = int(r2[:, varying].mean(1).argmax()) if varying.any() else 0
        alpha, cv_r2 = np.full(moments.n_targets, alphas[best]), r2[best]
    return alpha, cv_r2


@dataclass(frozen=True)
class _Basis:
    """What all targets share when one fold is held out: the eigenbasis of X'X of the others, in the moments' dtype.

    Attributes
    ----------
    V : (p, p) eigenvectors in columns. shrinkage : (a, p, 1), 1 / (λ + α). B : (p, p), V'X̃'X̃V of the fold held out.
    """

    fold: int
    others: np.ndarray
    V: torch.Tensor
    shrinkage: torch.Tensor
    B: torch.Tensor

    @classmethod
    def without(cls, fold: int, moments: Moments, alphas: np.ndarray, device: str) -> _Basis:
        import torch

        others, no_targets = np.delete(np.arange(moments.n_folds), fold), moments.targets(slice(0, 0))
        train = centred(no_targets, others, device=device)
        held_out = centred(no_targets, np.array([fold]), device=device, about=train)
        values, vectors = torch.linalg.eigh(train.xx)
        shrinkage = torch.stack([_shrinkage(values.clamp(min=0), torch.tensor(alpha, device=device)) for alpha in alphas])
        dtype = train.xy.dtype
        return cls(fold, others, vectors.to(dtype), shrinkage[:, :, None].to(dtype), (vectors.T @ held_out.xx @ vectors).to(dtype))


def _held_out_errors(moments: Moments, basis: _Basis, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared error on one fold of models fitted on the others, for each alpha and target (a, t), and Σ(y - training mean)² (t,)."""
    import torch

    train = centred(moments, basis.others, device=device)
    held_out = centred(moments, np.array([basis.fold]), device=device, about=train)
    A, D = basis.V.T @ train.xy, basis.V.T @ held_out.xy  # (p, t)
    u, quadratic = torch.empty_like(A), torch.empty_like(A)
    errors = torch.empty(len(basis.shrinkage), A.shape[1], dtype=A.dtype, device=device)
    for i, shrinkage in enumerate(basis.shrinkage):
        torch.mul(A, shrinkage, out=u)
        torch.addmm(D, basis.B, u, beta=-2, out=quadratic)
        torch.sum(quadratic.mul_(u), 0, out=errors[i])
    return errors.add_(held_out.yy.to(A.dtype)), held_out.yy


def solve(moments: Moments, alpha: np.ndarray, *, device: str = "cpu") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve ridge regression: weights (p, t), intercepts (t,) and optimality residuals (t,) on all folds, for one alpha (t,) per target."""
    import torch

    every = np.arange(moments.n_folds)
    values, V = torch.linalg.eigh(centred(moments.targets(slice(0, 0)), every, device=device).xx)
    values = values.clamp(min=0)
    weights = np.empty((moments.n_components, moments.n_targets), moments.xy.dtype)
    intercept, kkt = np.empty(moments.n_targets), np.empty(moments.n_targets)

    def solve_block(block: slice) -> None:
        train = centred(moments.targets(block), every, device=device)
        penalty = torch.from_numpy(alpha[block]).to(device)
        w = V @ (_shrinkage(values[:, None], penalty) * (V.T @ train.xy.double()))
        weights[:, block] = w.cpu().numpy()
        intercept[block] = (train.mean_y - train.mean_x @ w).cpu().numpy() + moments.shift[block]
        kkt[block] = optimality(train, w, penalty).cpu().numpy()

    map_in_threads(solve_block, target_blocks(moments, device), device=device)
    return weights, intercept, kkt


def optimality(train: Centred, weights: torch.Tensor, alpha: torch.Tensor | float) -> torch.Tensor:
    """Optimality residual (t,) of float64 weights (p, t): the largest gradient entry of the loss, relative to the largest of X'y."""
    import torch

    slope = torch.addmm(-train.xy.double(), train.xx, weights).add_(alpha * weights)
    return slope.abs().amax(0) / train.xy.abs().amax(0).double().clamp(min=1e-300)


def _shrinkage(values: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """1 / (λ + α), and 0 where both vanish: the shortest solution."""
    denominator = values + alpha
    floor = values.max() * len(values) * 1e-14
    return (denominator > floor) / denominator.clamp(min=1e-300)


def target_blocks(moments: Moments, device: str) -> Iterator[slice]:
    """Split the targets into blocks of the size that a core, or a GPU, works on at once."""
    step = TARGET_BLOCK["cuda" if device.startswith("cuda") else "cpu"]
    return (slice(start, min(start + step, moments.n_targets)) for start in range(0, moments.n_targets, step))


READOUTS.register("ridge", Ridge())
