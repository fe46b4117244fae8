"""Gram matrix X'X / n of one training set with bounds of its spectrum, for step sizes and momentum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from encoding.readouts._moments import Centred, Moments, centred
from encoding.readouts._varying import varying_features, varying_targets

if TYPE_CHECKING:
    import torch

LARGEST_SPECTRUM = 2_000  # features; beyond, the spectrum is bounded instead of computed
MOST_MOMENTUM = 0.97  # where the smallest eigenvalue is 0 or nearly
HEAVY_BALL = 4.0  # conditioning up to which its steps are known to converge


class Pace(NamedTuple):
    """Step size relative to 1 / (D + λ₂), momentum, and asymptotic rate at which the error shrinks.

    ``ahead`` says that the gradient is taken where momentum leads (Nesterov), and not where the weights are (Polyak's heavy ball).
    """

    step: float
    momentum: float
    rate: float
    ahead: bool


@dataclass(frozen=True)
class Gram:
    """Gram matrix G (p, p) of one training set, float64, with bounds of its spectrum.

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
        """Compute from the moments of the rows in ``folds``."""
        train = centred(moments.targets(slice(0, 0)), folds, device=device)
        return cls.of(train.xx / train.n, varying_features(moments, folds, train))

    @classmethod
    def of(cls, G: torch.Tensor, varies: torch.Tensor | None = None) -> Gram:
        """Precompute what solvers need of a Gram matrix G (p, p); features that do not vary are masked."""
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

    def pace(self, l2: float) -> Pace:
        """Choose step size and momentum that converge for λ₂ and every larger one.

        For a quadratic the heavy ball is optimal: with κ the conditioning, its error shrinks by (√κ - 1) / (√κ + 1) a step,
        Nesterov's by 1 - 1 / √κ. With a proximal map it converges where its step is under 2 (1 - momentum) / L (Ochs, Chen, Brox &
        Pock 2014, iPiano, SIAM J. Imaging Sciences 7), which the best step and momentum are for κ < 4.
        """
        smallest, largest = self.curvature(l2), self.largest
        root = math.sqrt(smallest / largest)
        momentum = (1 - root) / (1 + root)
        if largest < HEAVY_BALL * smallest:
            return Pace(4 / (math.sqrt(smallest) + math.sqrt(largest)) ** 2, momentum**2, momentum, ahead=False)
        momentum = min(momentum, MOST_MOMENTUM)
        return Pace(1 / largest, momentum, 2 * momentum / (1 + momentum), ahead=True)

    def curvature(self, l2: torch.Tensor | float) -> torch.Tensor | float:
        """The least of x'(G + λ₂)x / x'(D + λ₂)x for each λ₂, or less: that of (μ Dⱼ + λ₂) / (Dⱼ + λ₂), where x'Gx ≥ μ x'Dx."""
        widest = float(self.diagonal.max())
        return (self.smallest * widest + l2) / (widest + l2)

    def products(self, some: Moments, folds: np.ndarray, train: Centred) -> torch.Tensor:
        """X'y / n (p, t) of some targets on ``folds``, in the dtype of the moments; 0 for constant features and targets."""
        return (train.xy / train.n) * self.varies[:, None] * varying_targets(some, folds, train.yy)
