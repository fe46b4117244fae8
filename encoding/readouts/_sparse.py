"""Lasso and elastic net from moments, for all targets at once.

With G = X'X / n and c = X'y / n about the means, the problem of a target is

    ½ w'Gw - c'w + λ₁ ‖w‖₁ + ½ λ₂ ‖w‖²,    λ₁ = α ρ,  λ₂ = α (1 - ρ)

(scikit-learn's objective and names: ρ is ``l1_ratio``). It is solved by proximal gradient steps scaled by the diagonal
of G, with Nesterov's momentum for the conditioning at hand. Principal components of the training rows have a diagonal G and those of other
rows nearly so; then a handful of matrix products do, and all targets share each. Weights start from those of the penalty before.
Where that is not enough for the final weights, an active set finds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from encoding.moments import Centred, Moments, centred
from encoding.readouts._active_set import solve_active, solve_surely
from encoding.readouts._varying import varying_features, varying_targets

if TYPE_CHECKING:
    import torch

LARGEST_SPECTRUM = 2_000  # features; beyond, the spectrum is bounded instead of computed
TOLERANCE = 3e-5  # relative change of the weights in a step, while penalties are compared
SMALLEST_CHANGE = {4: 3e-7, 8: 1e-12}  # relative, that numbers of so many bytes can show
MOST_STEPS = 64  # for the final weights, before equations are solved
SLOW = 0.8  # momentum beyond which steps would be too many
MOST_PATH_STEPS = 150  # for one of many penalties
SOLVED_WEIGHTS = 16  # that are not 0, of a target whose equations are solved for one of many penalties
PATH_TOLERANCE = 1e-7  # of those, as KKT_TOLERANCE
KKT_TOLERANCE = 1e-9  # of the final weights, relative to the largest |c| of a target
MOST_MOMENTUM = 0.97  # where the smallest eigenvalue is 0 or nearly
STEPS_BETWEEN_CHECKS = 16


@dataclass(frozen=True)
class Gram:
    """G (p, p) of one training set, float64, with what the steps need to know of it.

    Attributes
    ----------
    varies : (p,) bool, false for features that are constant; their rows and columns are 0 in G, but ``diagonal`` (p,) is not.
    smallest, largest : bound the eigenvalues of D^-½ G D^-½ for D = diag(G), and ``largest`` those of D^-½ (G + λ₂) D^-½ for
        D = diag(G) + λ₂ and every λ₂ of 0 or more.
    """

    G: torch.Tensor
    diagonal: torch.Tensor
    varies: torch.Tensor
    smallest: float
    largest: float

    @classmethod
    def on(cls, moments: Moments, folds: np.ndarray, *, device: str) -> Gram:
        """Of the rows in ``folds``."""
        train = centred(moments.targets(slice(0, 0)), folds, device=device)
        return cls.of(train.xx / train.n, varying_features(moments, folds, train))

    @classmethod
    def of(cls, G: torch.Tensor, varies: torch.Tensor | None = None) -> Gram:
        import torch

        varies = G.diagonal() > 0 if varies is None else varies
        G = G * varies * varies[:, None]
        diagonal = torch.where(varies, G.diagonal(), G.diagonal().max() if bool(varies.any()) else 1.0)
        scaled = G / torch.outer(diagonal.sqrt(), diagonal.sqrt()) + torch.diag((~varies).double())
        if len(G) <= LARGEST_SPECTRUM:
            values = torch.linalg.eigvalsh(scaled)
            smallest, largest = max(0.0, float(values[0])), float(values[-1])
        else:
            smallest, largest = 0.0, float(scaled.abs().sum(0).max())
        return cls(G, diagonal, varies, smallest, largest * (1 + 1e-6))

    def momentum(self, l2: torch.Tensor) -> torch.Tensor:
        """That of a step, in 0 … 1, for each λ₂ (t,): from x'(G + λ₂)x ≥ min (μ Dⱼ + λ₂) / (Dⱼ + λ₂) x'(D + λ₂)x, where x'Gx ≥ μ x'Dx."""
        widest = self.diagonal.max()
        root = ((self.smallest * widest + l2) / (widest + l2) / self.largest).sqrt()
        return ((1 - root) / (1 + root)).clamp(max=MOST_MOMENTUM)

    def products(self, some: Moments, folds: np.ndarray, train: Centred) -> torch.Tensor:
        """c (p, t) of some targets on ``folds``, in the dtype of the moments; 0 for features and targets that are constant."""
        return (train.xy / train.n) * self.varies[:, None] * varying_targets(some, folds, train.yy)


def path_step(gram: Gram, c: torch.Tensor, l1: float | torch.Tensor, l2: float | torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weights (p, t) for one penalty, starting from ``weights``; c (p, t), float32 or float64.

    ``l1`` and ``l2`` are one number for all targets, which is faster, or (t,) numbers of their own. Where features are so alike that
    steps are slow the active set solves for the weights. It would take too long for a target with more than SOLVED_WEIGHTS that are
    not 0, for only one of many penalties: there steps end after MOST_PATH_STEPS, and are then not the last digits.
    """
    import torch

    own = {"dtype": torch.float64, "device": c.device}
    l1_each, l2_each = (torch.as_tensor(penalty, **own).expand(c.shape[1]) for penalty in (l1, l2))
    few = (weights != 0).sum(0) <= SOLVED_WEIGHTS
    slow = few & (gram.momentum(l2_each) > SLOW)
    made, far = weights.clone(), slow
    if not bool(slow.any()):
        made, settled = _steps(gram, c, l1, l2, weights)
        far = few & ~settled
    elif not bool(slow.all()):
        rest = (~slow).nonzero()[:, 0]
        penalties = (penalty[rest] if isinstance(penalty, torch.Tensor) else penalty for penalty in (l1, l2))
        made[:, rest], settled = _steps(gram, c[:, rest], *penalties, weights[:, rest])
        far = slow.index_put((rest,), few[rest] & ~settled)
    far = far.nonzero()[:, 0]
    if len(far):
        some = (part[..., far].double() for part in (c, l1_each, l2_each, weights))
        made[:, far] = solve_active(gram, *some, PATH_TOLERANCE)[0].to(c.dtype)
    return made


def _steps(
    gram: Gram, c: torch.Tensor, l1: float | torch.Tensor, l2: float | torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (p, t) after MOST_PATH_STEPS from ``weights``, or as soon as all have settled; and which have (t,) bool."""
    import torch

    momentum = gram.momentum(torch.as_tensor(l2, dtype=torch.float64, device=c.device)).to(c.dtype)  # () or (t,)
    step = 1 / (gram.largest * (gram.diagonal[:, None] + l2))  # (p, 1) or (p, t)
    threshold, step = (l1 * step).to(c.dtype), step.to(c.dtype)
    offset = step * c
    if step.shape[1] == 1:
        along = torch.eye(len(gram.G), dtype=c.dtype, device=c.device) * (1 - step * float(l2)) - step * gram.G.to(c.dtype)

        def descend(moved: torch.Tensor) -> torch.Tensor:
            return torch.addmm(offset, along, moved)
    else:
        G, kept = gram.G.to(c.dtype), 1 - step * l2.to(c.dtype)

        def descend(moved: torch.Tensor) -> torch.Tensor:
            return torch.addcmul(offset, kept, moved).addcmul_(step, G @ moved, value=-1)

    tolerance = (TOLERANCE * (1 - momentum)).clamp(min=SMALLEST_CHANGE[c.dtype.itemsize])  # small steps may have far to go
    before, moved = weights, weights
    for number in range(1, MOST_PATH_STEPS + 1):
        made = descend(moved)
        made = made - made.clamp(-threshold, threshold)
        change = made - before
        moved, before = torch.addcmul(made, change, momentum), made
        if number % 2 == 0:
            settled = change.abs().amax(0) <= tolerance * made.abs().amax(0)
            if bool(settled.all()):
                break
    return before, settled


def solve_each(gram: Gram, c: torch.Tensor, l1: torch.Tensor, l2: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (p, t) for penalties (t,) of each target's own, in float64, and how far they are from optimal (t,), see :func:`kkt`.

    Targets that are still far after a few steps, where features are alike, are solved by :mod:`encoding.readouts._active_set`.
    """
    import torch

    c = c.double()
    momentum = gram.momentum(l2)
    step = 1 / (gram.largest * (gram.diagonal[:, None] + l2))
    threshold = l1 * step
    done, residual = torch.zeros_like(c), torch.full_like(l1, torch.inf)
    before = moved = done
    for number in range(1, MOST_STEPS + 1):
        gradient = torch.addmm(c, gram.G, moved, beta=-1).addcmul_(moved, l2.expand_as(moved))
        made = moved - step * gradient
        made = made - made.clamp(-threshold, threshold)
        moved, before = torch.addcmul(made, made - before, momentum), made
        if number % STEPS_BETWEEN_CHECKS == 0:
            far = kkt(gram, c, l1, l2, before)
            done, residual = torch.where(far < residual, before, done), torch.minimum(far, residual)
            if not (residual > KKT_TOLERANCE).any():
                return done, residual
    far = (residual > KKT_TOLERANCE).nonzero()[:, 0]
    made, left = solve_surely(gram, c[:, far], l1[far], l2[far], done[:, far], KKT_TOLERANCE)
    done[:, far], residual[far] = made, left
    return done, residual


def kkt(gram: Gram, c: torch.Tensor, l1: torch.Tensor, l2: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """(t,) the largest violation of the optimality conditions, relative to the target's largest |c|.

    With the gradient g = Gw + λ₂ w - c: |g + λ₁ sign(w)| where w ≠ 0, and max(0, |g| - λ₁) where w = 0.
    """
    import torch

    g = gram.G @ weights + l2 * weights - c
    violated = torch.where(weights != 0, (g + l1 * weights.sign()).abs(), (g.abs() - l1).clamp(min=0))
    return violated.amax(0) / c.abs().amax(0).clamp(min=1e-300)
