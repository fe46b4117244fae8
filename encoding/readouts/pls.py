"""Partial least squares (PLS2) from moments: a few directions of the components that explain all targets together.

With A = X'X and M = X'Y about the means, the first latent component is X w for w the dominant left singular vector of M, and
each later one the same after deflation (Dayal & MacGregor 1997, J. Chemometrics 11: only M is deflated):

    r = w - Σ (p_j'w) r_j,    s = r'A r,    p = A r / s,    q = M'r / s,    M ← (I - p r') M,    weights = Σ r q'

Targets enter this through M M' alone. So M is replaced by a root of M M' no larger than p x p, from one QR over blocks of targets;
all components follow from products of p x p, and every target's weights from ``R' M``, whatever their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoding.readouts import READOUTS, BadOption, Choice, LinearModel, Options, Range, Readout, option
from encoding.readouts._counted import Counted
from encoding.readouts._held_out import SELECTIONS, HeldOut
from encoding.readouts._moments import Centred, Moments, centred
from encoding.readouts._varying import varying_features, varying_targets
from encoding.readouts.ridge import target_blocks
from encoding.runtime.progress import Report, silent, subprogress
from encoding.runtime.threads import map_in_threads

if TYPE_CHECKING:
    import torch

MOST_LATENT = 20  # latent components that are compared on the folds
LEAST_VARIANCE = {"float32": 1e-7, "float64": 1e-12}  # of an axis of X, relative to the largest: X'Y says nothing about it below that
LEAST_COVARIANCE = 1e-12  # of what is left of X'Y, relative to what there was


@dataclass(frozen=True)
class PLSOptions(Options):
    """Parameters of :class:`PLS`."""

    n_components: int | None = option(
        None, f"Latent components. Empty: chosen by cross-validation among 1 to {MOST_LATENT}, one number for all vertices.", Range(1, 50)
    )
    n_folds: int = option(5, "Number of cross-validation folds of the training images on which n_components is chosen.")
    scale: bool = option(True, "Standardise every component and every vertex first.", Choice((True, False)))
    select: str = option("r2", "Score by which cross-validation chooses: r2 or r.", Choice(SELECTIONS))

    def __post_init__(self) -> None:
        if self.n_components is not None and self.n_components < 1:
            raise BadOption(f"n_components must be 1 or more, not {self.n_components}.")
        if self.n_folds < 2:
            raise BadOption(f"n_folds must be 2 or more, not {self.n_folds}.")
        if self.select not in SELECTIONS:
            raise BadOption(f"select must be {' or '.join(SELECTIONS)}, not {self.select!r}.")


class PLS(Readout):
    """The predictions of scikit-learn's ``PLSRegression`` run to convergence (its default ``tol`` stops earlier), without its iterations.

    Targets are fitted jointly: the latent components are those of every vertex of a hemisphere together. A choice of ROI is a
    choice of vertices to report, and their model is the one of the whole hemisphere.

    The number of latent components, where it is chosen, is the one of the least held-out loss averaged over folds and all targets
    (squared error in the units of the responses, or -r), on ties the smaller. Where X'Y or the rank of X is exhausted earlier, there are
    no more components and the weights stay as they are. ``details`` holds ``n_latent``, how many there are, the same for every target,
    and ``cv_loss`` (held-out mean squared error, or -r; NaN where nothing was chosen), each (t,).
    """

    name, title = "pls", "Partial least squares"
    about = "A few directions of the components that explain all vertices together."
    per_target = False
    options = PLSOptions

    def n_folds(self, options: PLSOptions) -> int:
        return 1 if options.n_components is not None else options.n_folds

    def fit(self, moments: Moments, options: PLSOptions, *, device: str = "cpu", report: Report = silent) -> LinearModel:
        most, every = options.n_components or min(MOST_LATENT, moments.n_components), np.arange(moments.n_folds)
        if options.n_components is None:
            trained_on = [*(np.delete(every, fold) for fold in every), every]
            finding, choosing, report = subprogress(report, 0, 0.6), subprogress(report, 0.6, 0.9), subprogress(report, 0.9, 1)
            *others, latent = find_each_latent(moments, trained_on, most, scale=options.scale, device=device, report=finding)
            n_latent, cv_loss = choose_n_latent(moments, others, most, options.select, device=device, report=choosing)
            latent = latent.first(n_latent)
        else:
            finding, report = subprogress(report, 0, 0.7), subprogress(report, 0.7, 1)
            (latent,) = find_each_latent(moments, [every], most, scale=options.scale, device=device, report=finding)
            cv_loss = np.full(moments.n_targets, np.nan)
        weights, intercept = solve(moments, latent, device=device, report=report)
        return LinearModel(weights, intercept, {"n_latent": np.full(moments.n_targets, float(len(latent.s))), "cv_loss": cv_loss})


@dataclass(frozen=True)
class Latent:
    """The latent components of one training set: ``(X - mean) @ R``, uncorrelated, as float64 torch tensors.

    Attributes
    ----------
    R : (p, k), for components that are not scaled. s : (k,), the squared length of each column of ``(X - mean) @ R``.
    """

    R: torch.Tensor
    s: torch.Tensor

    def first(self, k: int) -> Latent:
        """Keep the first ``k`` latent components, or all where there are fewer."""
        return Latent(self.R[:, :k], self.s[:k])

    def loadings(self, train: Centred) -> torch.Tensor:
        """Weights (k, t) from latent components to responses."""
        return (self.R.T @ train.xy.double()) / self.s[:, None]


def find_each_latent(
    moments: Moments, trained_on: list[np.ndarray], n_latent: int, *, scale: bool, device: str = "cpu", report: Report = silent
) -> list[Latent]:
    """:func:`find_latent` on each of several training sets, given by their folds."""
    by_latent: dict[int, Latent] = {}
    n_blocks = sum(1 for _ in target_blocks(moments, device))
    pieces = Counted(report, len(trained_on) * n_blocks, "finding latent components")

    def find(number: int) -> None:
        by_latent[number] = find_latent(moments, trained_on[number], n_latent, pieces, scale=scale, device=device)

    map_in_threads(find, range(len(trained_on)), device=device)
    return [by_latent[number] for number in range(len(trained_on))]


def find_latent(moments: Moments, folds: np.ndarray, n_latent: int, pieces: Counted, *, scale: bool = True, device: str = "cpu") -> Latent:
    """Compute at most ``n_latent`` latent components of all targets, on the rows of ``folds``; ``pieces`` counts blocks of targets."""
    import torch

    whole = centred(moments.targets(slice(0, 0)), folds, device="cpu")
    varies = varying_features(moments, folds, whole).numpy()
    deviation = np.sqrt(np.where(varies, whole.xx.diagonal(), np.inf) / max(whole.n - 1, 1)) if scale else np.ones(len(varies))
    per_x = varies / deviation
    A = whole.xx.numpy() * per_x[:, None] * per_x
    root = _root(moments, folds, per_x, pieces, scale=scale, device=device)
    R, s = _rotations(A, root, n_latent, LEAST_VARIANCE[moments.xy.dtype.name])
    return Latent(torch.from_numpy(per_x[:, None] * R).to(device), torch.from_numpy(s).to(device))


def _root(moments: Moments, folds: np.ndarray, per_x: np.ndarray, pieces: Counted, *, scale: bool, device: str) -> np.ndarray:
    """(p, m) with ``root @ root.T = M @ M.T`` for M = X'Y of X times ``per_x`` (p,) and Y by its deviation; m is p or t, the smaller."""
    import torch

    factor = torch.from_numpy(per_x[:, None]).to(device)
    upper = torch.zeros(0, moments.n_components, dtype=torch.float64, device=device)  # its R'R is M M' of the targets so far
    for block in target_blocks(moments, device):
        some = moments.targets(block)
        train = centred(some, folds, device=device)
        per_y = varying_targets(some, folds, train.yy).double()
        if scale:
            per_y *= (train.yy.clamp(min=1e-300) / max(train.n - 1, 1)).rsqrt()
        stacked = torch.cat([upper, (train.xy * factor * per_y).T])
        # on the CPU numpy's is many times as fast as torch's, which shares each small step between cores
        upper = torch.linalg.qr(stacked, mode="r").R if stacked.is_cuda else torch.from_numpy(np.linalg.qr(stacked.numpy(), mode="r"))
        pieces.done()
    return upper.T.cpu().numpy()


def _rotations(A: np.ndarray, root: np.ndarray, n_latent: int, least_variance: float) -> tuple[np.ndarray, np.ndarray]:
    """R (p, k) and s (k,) of at most ``n_latent`` components, from A = X'X (p, p) and a ``root`` (p, m) of M M'."""
    from scipy.linalg import eigh  # of one eigenvector; numpy's finds every one

    values, V = np.linalg.eigh(A)
    V = V[:, values > least_variance * values[-1]]
    n_latent = min(n_latent, V.shape[1])
    left = V @ (V.T @ root)  # without what rounding puts where X has no variance
    R, P, s = np.zeros((len(A), n_latent)), np.zeros((len(A), n_latent)), np.zeros(n_latent)
    least = LEAST_COVARIANCE * np.linalg.norm(left)
    last = left.shape[1] - 1
    for k in range(n_latent):
        w = left @ eigh(left.T @ left, subset_by_index=(last, last))[1][:, 0]
        length = np.linalg.norm(w)
        if length <= least:
            return R[:, :k], s[:k]
        r = w / length
        for _ in range(2):  # the second time for what rounding left of the first
            r = r - R[:, :k] @ (P[:, :k].T @ r)
        s[k] = r @ A @ r
        R[:, k], P[:, k] = r, A @ r / s[k]
        left -= np.outer(P[:, k], r @ left)
    return R, s


def choose_n_latent(
    moments: Moments, latents: list[Latent], most: int, select: str, *, device: str = "cpu", report: Report = silent
) -> tuple[int, np.ndarray]:
    """Choose the number of latent components, 1 to ``most``, over the moments' folds; and each target's held-out loss (t,) with it.

    ``latents`` has one for each fold, of the other folds' rows.
    """
    folds = np.arange(moments.n_folds)
    loss = np.zeros((most, moments.n_targets))
    blocks = list(target_blocks(moments, device))
    pieces = Counted(report, len(blocks) * len(folds), "choosing the number of latent components")

    def add_losses(block: slice) -> None:
        some = moments.targets(block)
        for fold, latent in zip(folds, latents, strict=True):
            train = centred(some, np.delete(folds, fold), device=device)
            held_out = HeldOut(some, fold, train, select, device=device)
            varies = varying_targets(some, np.delete(folds, fold), train.yy) & varying_targets(some, folds[[fold]], held_out.yy)
            loss[:, block] += _path_losses(latent, train, held_out, varies, most).cpu().numpy() / len(folds)
            pieces.done()

    map_in_threads(add_losses, blocks, device=device)
    best = int(loss.mean(1).argmin())
    return best + 1, loss[best]


def _path_losses(latent: Latent, train: Centred, held_out: HeldOut, varies: torch.Tensor, most: int) -> torch.Tensor:
    """(most, t) :meth:`HeldOut.loss` of the first 1 … ``most`` components; r is 0 for targets (t,) that do not vary."""
    import torch

    q, yy = latent.loadings(train), held_out.yy.double()  # (k, t), (t,)
    B = latent.R.T @ held_out.xx.double() @ latent.R
    below = 2 * B.tril(-1) + B.diagonal().diag()  # row k: what component k adds to the squares of those before
    counts = torch.arange(1, most + 1, device=q.device).clamp(max=len(q))  # none are added beyond the last

    def up_to_each(added: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.zeros_like(yy)[None], added.cumsum(0)])[counts]

    cross, squares = up_to_each(q * (latent.R.T @ held_out.xy.double())), up_to_each(q * (below @ q))
    if held_out.select == "r2":
        return (yy - 2 * cross + squares) / held_out.n
    length = (squares.clamp(min=0) * yy.clamp(min=0)).sqrt()
    return torch.where(varies & (length > 0), -cross / length, 0.0)


def solve(moments: Moments, latent: Latent, *, device: str = "cpu", report: Report = silent) -> tuple[np.ndarray, np.ndarray]:
    """Weights (p, t) and intercepts (t,) of a regression on latent components, on all folds."""
    every = np.arange(moments.n_folds)
    weights = np.empty((moments.n_components, moments.n_targets), moments.xy.dtype)
    intercept = np.empty(moments.n_targets)
    blocks = list(target_blocks(moments, device))
    pieces = Counted(report, len(blocks), "fitting weights")

    def solve_block(block: slice) -> None:
        train = centred(moments.targets(block), every, device=device)
        w = latent.R @ latent.loadings(train)
        weights[:, block] = w.cpu().numpy()
        intercept[block] = (train.mean_y - train.mean_x @ w).cpu().numpy() + moments.shift[block]
        pieces.done()

    map_in_threads(solve_block, blocks, device=device)
    return weights, intercept


READOUTS.register("pls", PLS())
