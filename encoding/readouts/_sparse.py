"""Lasso and elastic net from moments, for all targets at once.

With G = X'X / n and c = X'y / n about the means, the problem of a target is

    ½ w'Gw - c'w + λ₁ ‖w‖₁ + ½ λ₂ ‖w‖²,    λ₁ = α ρ,  λ₂ = α (1 - ρ)

(scikit-learn's objective and names: ρ is ``l1_ratio``). It is solved by proximal gradient steps scaled by the diagonal D of G, with
momentum for the conditioning at hand. Principal components of the training rows have a diagonal G and those of other rows nearly so;
then a handful of matrix products do, and all targets share each. On a path of penalties, weights start where those of the last two
point: they are linear in α as long as the same ones are not 0. Where steps are not enough, an active set finds the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from encoding.readouts._active_set import solve_active, solve_surely

if TYPE_CHECKING:
    import torch

    from encoding.readouts._gram import Gram, Pace

SLOW = 1 / 81  # smallest curvature, of the largest, below which steps would be too many: a momentum of 0.8
TOLERANCE = 1e-4  # error of the weights while penalties are compared, relative to a target's largest
NARROW_TOLERANCE = 1e-6  # of float32 weights from which the final ones start
SMALLEST_CHANGE = {4: 3e-7, 8: 1e-15}  # relative, that numbers of so many bytes can show
MOST_STEPS = 64  # for the final weights, before equations are solved
MOST_PATH_STEPS = 150  # for one of many penalties
SOLVED_WEIGHTS = 16  # that are not 0, of a target whose equations are solved for one of many penalties
PATH_TOLERANCE = 1e-7  # of those, as KKT_TOLERANCE
KKT_TOLERANCE = 1e-9  # of the final weights, relative to the largest |c| of a target
UNSEEN = 0.8  # of the steps that the last penalty took, before any are looked at
MOST_SETTLED = 0.8  # of the targets, whereupon the others go on alone
SWING = 0.1  # of the change that would do, since Nesterov's steps swing about where they lead
SMALLEST_L1 = 1e-25  # steps divide by it
ROUNDING = 1e-12  # relative, of the penalty at which all weights are 0


class Path:
    """Solve a path of penalties, from large to small, for targets with products c (p, t), float32 or float64.

    Where features are so alike that steps are slow the active set solves for the weights. It would take too long for a target with
    more than SOLVED_WEIGHTS that are not 0, for only one of many penalties: there steps end after MOST_PATH_STEPS, and are then not
    the last digits.
    """

    def __init__(self, gram: Gram, c: torch.Tensor) -> None:
        import torch

        self._gram, self._c = gram, c
        self._weights = self._before = torch.zeros_like(c)
        self._l1 = self._l1_before = None  # of those weights
        self._n_steps = 2  # that the last penalty took

    def to(self, l1: float | torch.Tensor, l2: float | torch.Tensor) -> torch.Tensor:
        """Weights (p, t) at the next penalty: a scalar for all targets, which is faster, or (t,) float64."""
        import torch

        c, before = self._c, self._weights
        slow = torch.as_tensor(self._gram.curvature(l2) < SLOW * self._gram.largest, device=c.device).expand(c.shape[1])
        if bool(slow.any()):
            slow = slow & self._has_few(before)
        if not bool(slow.any()):
            made, settled, self._n_steps = self._steps(c, l1, l2, self._start(l1))
            far = ~settled
        else:
            made, far, rest = before.clone(), slow.clone(), (~slow).nonzero()[:, 0]
            if len(rest):
                made[:, rest], settled, self._n_steps = self._steps(c[:, rest], _of(l1, rest), _of(l2, rest), before[:, rest])
                far[rest] = ~settled
        if bool(far.any()):
            far = (far & self._has_few(before)).nonzero()[:, 0]
            penalties = (torch.as_tensor(each, dtype=torch.float64, device=c.device).expand(c.shape[1])[far] for each in (l1, l2))
            wide = (c[:, far].double(), *penalties, before[:, far].double())
            made[:, far] = solve_active(self._gram, *wide, PATH_TOLERANCE)[0].to(c.dtype)
        self._weights, self._before, self._l1, self._l1_before = made, before, l1, self._l1
        return made

    def _steps(self, c: torch.Tensor, l1: float | torch.Tensor, l2: float | torch.Tensor, start: torch.Tensor) -> Stepped:
        return steps(self._gram, c, l1, l2, start, tolerance=TOLERANCE, most=MOST_PATH_STEPS, look_after=int(UNSEEN * self._n_steps))

    def _has_few(self, weights: torch.Tensor) -> torch.Tensor:
        return (weights != 0).sum(0) <= SOLVED_WEIGHTS

    def _start(self, l1: float | torch.Tensor) -> torch.Tensor:
        """Where the weights would be that go on as they went from the penalty before to the last."""
        import torch

        if self._l1_before is None:
            return self._weights
        next_, last, before = (
            torch.as_tensor(each, dtype=torch.float64, device=self._c.device) for each in (l1, self._l1, self._l1_before)
        )
        share = ((next_ - last) / (last - before)).nan_to_num(0, 0, 0).clamp(0, 1)  # 0 after the same penalty twice
        return torch.lerp(self._before, self._weights, 1 + share.to(self._c.dtype))


def _of(penalty: float | torch.Tensor, targets: torch.Tensor) -> float | torch.Tensor:
    return penalty if isinstance(penalty, float) else penalty[targets]


# Weights (p, t), whether they have settled (t,) bool, and after how many steps most have.
Stepped = tuple["torch.Tensor", "torch.Tensor", int]


def steps(
    gram: Gram,
    c: torch.Tensor,
    l1: float | torch.Tensor,
    l2: float | torch.Tensor,
    weights: torch.Tensor,
    *,
    tolerance: float,
    most: int,
    look_after: int = 1,
) -> Stepped:
    """Take proximal gradient steps from ``weights`` (p, t), ``most`` at most, until the estimated error is ``tolerance``.

    Steps are made on v = (D + λ₂) w / λ₁: they shrink v by one number for all features and targets, ``pace.step``. Whether
    weights have settled is first looked at after so many steps. Returned are the steps that most targets took.
    """
    import torch
    from torch.nn.functional import softshrink

    least_l2 = float(torch.as_tensor(l2).min())
    pace = gram.pace(least_l2)
    own = {"dtype": torch.float64, "device": c.device}
    size = torch.as_tensor(l1, **own).clamp(min=SMALLEST_L1)  # () or (t,)
    diagonal = gram.diagonal[:, None] + l2  # (p, 1) or (p, t)
    offset, inverse = c * (pace.step / size).to(c.dtype), (1 / diagonal).to(c.dtype)
    descend = _descent(gram, offset, l2, diagonal, pace)
    smallest = SMALLEST_CHANGE[c.dtype.itemsize]
    small = max(tolerance * (1 - pace.rate) / max(pace.rate, 1e-3) * (SWING if pace.ahead else 1), smallest)
    noise = smallest * pace.step / (float(gram.diagonal.min()) + least_l2)  # of weights next to nothing
    before = made = weights * (diagonal / size).to(c.dtype)
    for number in range(1, most + 1):
        before, made = made, softshrink(descend(made, before), pace.step)
        if number >= look_after or number == most:
            change = (made - before).mul_(inverse).abs_().amax(0)
            settled = change <= (small * (made * inverse).abs_().amax(0)).clamp(min=noise)
            if float(settled.float().mean()) >= MOST_SETTLED:
                break
    made *= size.to(c.dtype) * inverse
    rest = (~settled).nonzero()[:, 0]
    if len(rest) and number < most:  # the last few alone
        some = (c[:, rest], _of(l1, rest), _of(l2, rest), made[:, rest])
        made[:, rest], settled[rest], _ = steps(gram, *some, tolerance=tolerance, most=most - number)
    return made, settled, number


def _descent(
    gram: Gram, offset: torch.Tensor, l2: float | torch.Tensor, diagonal: torch.Tensor, pace: Pace
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The step from v, which was ``before`` one step earlier, before it is shrunk: v - step ((G + λ₂) w - c) / λ₁, and momentum."""
    import torch

    kept = (1 + (0 if pace.ahead else pace.momentum) - pace.step * l2 / diagonal).to(offset.dtype)  # of v itself, (p, 1) or (p, t)
    if diagonal.shape[1] == 1:
        along = torch.diag(kept[:, 0]) - (pace.step * gram.G / diagonal.T).to(offset.dtype)

        def gradient_step(v: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
            return torch.addmm(offset, along, v)
    else:
        G, inverse = (-pace.step * gram.G).to(offset.dtype), (1 / diagonal).to(offset.dtype)

        def gradient_step(v: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
            return torch.addcmul(offset, kept, v).addmm_(G, v * inverse)

    if pace.ahead:
        return lambda v, before: gradient_step(torch.lerp(before, v, 1 + pace.momentum), offset)
    return lambda v, before: gradient_step(v, torch.sub(offset, before, alpha=pace.momentum))


def solve_each(gram: Gram, c: torch.Tensor, l1: torch.Tensor, l2: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Solve for penalties (t,) of each target's own in float64: weights (p, t) and optimality residuals (t,), see :func:`kkt`.

    Targets that are still far after a few steps, where features are alike, are solved by :mod:`encoding.readouts._active_set`.
    """
    import torch

    penalties = (l1, 0.0 if not bool(l2.any()) else l2)
    weights = torch.zeros_like(c)
    if c.dtype == torch.float32:  # half the price of float64
        weights = steps(gram, c, *penalties, weights, tolerance=NARROW_TOLERANCE, most=MOST_STEPS)[0]
    c = c.double()
    weights = steps(gram, c, *penalties, weights.double(), tolerance=KKT_TOLERANCE, most=MOST_STEPS)[0]
    weights[:, c.abs().amax(0) <= l1 * (1 + ROUNDING)] = 0
    residual = kkt(gram, c, l1, l2, weights)
    far = (residual > KKT_TOLERANCE).nonzero()[:, 0]
    if len(far):
        made, left = solve_surely(gram, c[:, far], l1[far], l2[far], weights[:, far], KKT_TOLERANCE)
        better = left < residual[far]
        weights[:, far[better]], residual[far[better]] = made[:, better], left[better]
    return weights, residual


def kkt(gram: Gram, c: torch.Tensor, l1: torch.Tensor, l2: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Largest violation of the optimality conditions of each target (t,), relative to its largest |c|.

    With the gradient g = Gw + λ₂ w - c: |g + λ₁ sign(w)| where w ≠ 0, and max(0, |g| - λ₁) where w = 0.
    """
    import torch

    g = gram.G @ weights + l2 * weights - c
    violated = torch.where(weights != 0, (g + l1 * weights.sign()).abs(), (g.abs() - l1).clamp(min=0))
    return violated.amax(0) / c.abs().amax(0).clamp(min=1e-300)
